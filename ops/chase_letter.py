"""The letter of a chase as one HTML page, to be printed on A4 or opened in a word processor.

Comes in: `Chase` and the rules. Goes out: the page as text, in the form of an official letter: what only the sender knows (its name, number
and sign, date, who signs) is left as blanks, and no office is named. Owns no state. Everything that somebody wrote is escaped; the page
loads nothing and runs nothing.
"""

from __future__ import annotations

from html import escape
from itertools import count

from feed.text import Lang, day, say
from ops.chase import Chase
from ops.chase_words import counts, operator_name, origin, printed, shown
from phusong.events import Origin
from phusong.rules import Rules

_STYLE = """
@page { size: A4; margin: 20mm 15mm 20mm 30mm }
@page list { size: A4 landscape; margin: 15mm }
body { font: 14pt/1.4 "Times New Roman", "Liberation Serif", serif; margin: auto; color: #000; background: #fff }
header { display: flex; justify-content: space-between; text-align: center; font-size: 12pt; gap: 6mm }
header .state { white-space: nowrap }
header p, footer p { margin: 0 }
.state { font-weight: bold } .rule { display: inline-block; border-bottom: 1px solid; padding-bottom: 2px }
.date { text-align: right; font-style: italic } .to { text-align: center; margin: 8mm 0 }
footer { display: flex; justify-content: space-between; margin-top: 8mm; break-inside: avoid }
footer .sign { text-align: center; min-width: 70mm } .copies { font-size: 11pt }
.origin { border: 1px solid; padding: 2mm 4mm; font-weight: bold }
.list { page: list; break-before: page }
.list h2 { text-align: center; font-size: 13pt }
table { border-collapse: collapse; width: 99.8%; font-size: 8.5pt; line-height: 1.25 }
thead { display: table-header-group } tr { break-inside: avoid } .group { break-after: avoid }
th, td { border: 1px solid #000; padding: 1mm 1.2mm; text-align: left; vertical-align: top; overflow-wrap: break-word }
@media screen {
  body { max-width: 180mm; padding: 10mm }
  .list { width: min(270mm, 96vw); margin-left: max(-45mm, 90mm - 48vw); overflow-x: auto }
}
"""
_DOTS = "…………………"


def letter(found: Chase, rules: Rules, lang: Lang) -> str:
    """The whole page."""
    name = escape(operator_name(rules, found.operator, lang))
    as_of = escape(day(found.as_of, lang))
    subject = say(lang, "V/v phủ sóng những nơi còn thiếu", "Re: places that are still to be covered")
    places, overdue, open_ones, others = counts(found.gaps, lang)
    head = say(
        lang,
        f"<p>Qua tổng hợp báo cáo, kết quả đo kiểm và kiến nghị tính đến hết ngày {as_of} (danh mục xã {escape(found.vintage)}), còn "
        f"<b>{places}</b> nơi mà {name} chưa phủ; trong đó <b>{overdue}</b> nơi đã quá thời hạn cam kết, <b>{open_ones}</b> nơi chưa có "
        f"cam kết, và <b>{others}</b> nơi đã có đơn vị khác phủ. Danh sách kèm theo.</p>",
        f"<p>According to reports, measurements and petitions up to {as_of} (list of communes {escape(found.vintage)}), <b>{places}</b> "
        f"places are not covered by {name}; of these <b>{overdue}</b> are past the date promised, <b>{open_ones}</b> have no promise, and "
        f"<b>{others}</b> are covered by another operator. The list is attached.</p>",
    )
    asks = say(
        lang,
        f"<p>Đề nghị {name}:</p><ol><li>Rà soát danh sách; nơi nào đã phủ thì gửi lại số liệu kèm ngày quan sát.</li>"
        "<li>Nêu thời hạn phủ cho từng nơi chưa có cam kết; với nơi đã quá hạn, nêu nguyên nhân và thời hạn mới.</li>"
        "<li>Trả lời từng vụ việc trước hạn xử lý ghi trong danh sách.</li></ol>"
        f"<p>Văn bản trả lời gửi về cơ quan chúng tôi trước ngày {_DOTS}.</p>",
        f"<p>{name} is asked:</p><ol><li>to check the list, and to report again, with the day of observation, what is covered already;</li>"
        "<li>to name a date for each place that has no promise, and for those past theirs the reason and a new date;</li>"
        "<li>to answer each challenge before the deadline in the list.</li></ol>"
        f"<p>Please answer in writing before {_DOTS}.</p>",
    )
    return f"""<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{escape(subject)}: {name}</title>
<style>{_STYLE}</style>
</head>
<body>
{_heading(subject, lang)}
<p class="to">{say(lang, "Kính gửi", "To")}: {name}</p>
{_marked(found, lang)}
{head}
{asks}
{_signing(lang)}
{_list(found, rules, lang)}
</body>
</html>
"""


def _heading(subject: str, lang: Lang) -> str:
    office, sender = say(lang, "TÊN CƠ QUAN CHỦ QUẢN", "SUPERIOR BODY"), say(lang, "TÊN CƠ QUAN GỬI", "SENDER")
    state, motto = (
        say(lang, "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", "SOCIALIST REPUBLIC OF VIET NAM"),
        say(lang, "Độc lập - Tự do - Hạnh phúc", "Independence - Freedom - Happiness"),
    )
    return f"""<header>
<div><p>[{office}]</p><p class="state">[{sender}]</p><p>{say(lang, "Số", "No.")}: {_DOTS}/{_DOTS}</p><p>{escape(subject)}</p></div>
<div><p class="state">{state}</p><p class="state rule">{motto}</p></div>
</header>
<p class="date">{say(lang, "………………, ngày …… tháng …… năm …………", "………………, ……/……/…………")}</p>"""


def _marked(found: Chase, lang: Lang) -> str:
    if found.origin in (None, Origin.REAL):
        return ""
    marked = escape(origin(found.origin, lang))
    text = say(
        lang,
        f"Danh sách có số liệu {marked} (cột «Nguồn số liệu»): chỉ để thử nghiệm, không dùng làm căn cứ.",
        f"The list has figures that are {marked} (column «Origin»): for trial only, no basis for any decision.",
    )
    return f'<p class="origin">{text}</p>'


def _signing(lang: Lang) -> str:
    return f"""<footer>
<div class="copies"><p><b><i>{say(lang, "Nơi nhận", "Copies")}:</i></b></p><p>- {say(lang, "Như trên", "As above")};</p>
<p>- {_DOTS};</p><p>- {say(lang, "Lưu", "Files")}: {_DOTS}.</p></div>
<div class="sign"><p><b>{say(lang, "QUYỀN HẠN, CHỨC VỤ CỦA NGƯỜI KÝ", "OFFICE OF THE SIGNATORY")}</b></p>
<p><i>({say(lang, "Chữ ký, họ và tên", "Signature and name")})</i></p></div>
</footer>"""


def _list(found: Chase, rules: Rules, lang: Lang) -> str:
    listed, groups = printed(found, rules, lang)
    headings = "".join(f"<th>{escape(column.heading)}</th>" for column in listed)
    widths = "".join(f'<col style="width:{column.width}em">' for column in listed)
    numbers, bodies = count(1), []
    for name, gaps in groups:
        bodies.append(f'<tbody><tr class="group"><th colspan="{len(listed) + 1}">{escape(name)}</th></tr>')
        for gap in gaps:
            cells = "".join(f"<td>{escape(shown(column.cell(gap), lang))}</td>" for column in listed)
            bodies.append(f"<tr><td>{next(numbers)}</td>{cells}</tr>")
        bodies.append("</tbody>")
    rows = "\n".join(bodies)
    title = say(lang, "DANH SÁCH NHỮNG NƠI CHƯA PHỦ", "LIST OF UNCOVERED PLACES")
    as_of = say(lang, f"tính đến hết ngày {day(found.as_of, lang)}", f"as of {day(found.as_of, lang)}")
    return f"""<section class="list">
<h2>{title}<br>({as_of})</h2>
<table>
<colgroup><col style="width:4em">{widths}</colgroup>
<thead><tr><th>{say(lang, "STT", "No.")}</th>{headings}</tr></thead>
{rows}
</table>
</section>"""

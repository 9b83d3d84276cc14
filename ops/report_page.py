"""A report as one HTML page, to be printed on A4.

Comes in: `Report` and the SHA-256 of its JSON. Goes out: the page as text, in the form of an administrative statistical report: what only
the sender knows (number of the form, who sends, who receives) is left as blanks, and no office is named. Owns no state. Everything that
somebody wrote is escaped; the page loads nothing and runs nothing. The SHA-256 stands at the foot of every printed page.
"""

from __future__ import annotations

from html import escape

from feed.text import Lang, say
from ops.report_document import ROLES, Report, Role
from ops.report_tables import tables
from ops.report_words import DOTS, ROLE_NAMES, Table, about, legend, marked, moment, province, standing, title

_STYLE = """
@page {
  size: A4 landscape; margin: 14mm 12mm 17mm;
  @bottom-left { content: "%(foot)s"; font: 7pt "Liberation Mono", monospace }
  @bottom-right { content: counter(page) " / " counter(pages); font: 8pt "Times New Roman", serif }
}
body { font: 11pt/1.35 "Times New Roman", "Liberation Serif", serif; margin: auto; color: #000; background: #fff }
header { display: grid; grid-template-columns: 1fr 1.6fr 1fr; gap: 5mm; font-size: 9.5pt }
header p { margin: 0 } h1 { font-size: 13pt; text-align: center; margin: 0 0 1mm } .middle { text-align: center; font-size: 11pt }
.middle .standing { font-weight: bold }
h2 { font-size: 11.5pt; margin: 6mm 0 1.5mm; break-after: avoid }
.about { margin: 4mm 0 2mm; font-size: 9.5pt } .about p { margin: 0 0 .5mm }
.note, .empty { font-size: 9pt; margin: 0 0 1mm; font-style: italic }
.origin { border: 1.5px solid; padding: 1.5mm 3mm; font-weight: bold; margin: 2mm 0 }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 99.8%%; font-size: 8pt; line-height: 1.22; table-layout: fixed }
thead { display: table-header-group } tr { break-inside: avoid } tr.long { break-inside: auto }
th, td { border: .75px solid #000; padding: .8mm 1mm; text-align: left; vertical-align: top }
th, td { overflow-wrap: anywhere; white-space: pre-line }
th { background: #eee; text-align: center; vertical-align: middle; print-color-adjust: exact; overflow-wrap: break-word }
td.n { text-align: right }
.legend { font-size: 8pt; margin-top: 2mm } .legend p { margin: 0 0 .5mm }
.signing { display: grid; grid-template-columns: 1fr 1fr 1fr; text-align: center; margin-top: 8mm; break-inside: avoid; font-size: 10.5pt }
.last { break-inside: avoid } .signing p { margin: 0 } .signing .role { font-weight: bold; text-transform: uppercase }
.signing .name { margin-top: 14mm; font-weight: bold }
.digest { font: 7.5pt "Liberation Mono", monospace; overflow-wrap: anywhere; margin-top: 5mm }
@media screen { body { max-width: 275mm; padding: 6mm } }
@media print { .digest { display: none } .wide { overflow: visible } }
"""
_LONG = 900  # characters in a row that may be broken over two pages


def page(report: Report, digest: str) -> str:
    """The whole page."""
    lang = report.lang
    warning = marked(report)
    lines = "".join(f"<p>{escape(line)}</p>" for line in about(report))
    found = tables(report)
    reading = "".join(f"<p>{escape(line)}</p>" for line in legend(lang))
    foot = f"{report.name} · SHA-256 {digest}"
    return f"""<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{escape(title(report))}: {escape(province(report))}, {escape(report.period)}</title>
<style>{_STYLE % {"foot": foot}}</style>
</head>
<body>
{_heading(report)}
<div class="about">{lines}</div>
{f'<p class="origin">{escape(warning)}</p>' if warning else ""}
{_table(found[0])}
<div class="legend">{reading}</div>
{"".join(map(_table, found[1:-1]))}
<div class="last">{_table(found[-1])}
{_signing(report)}</div>
<p class="digest">{escape(foot)}</p>
</body>
</html>
"""


def _heading(report: Report) -> str:
    lang = report.lang
    left = (
        (say(lang, "Biểu số", "Form No."), DOTS),
        (say(lang, "Ban hành theo", "Issued by"), DOTS),
        (say(lang, "Ngày nhận báo cáo", "Received on"), "……/……/…………"),
    )
    right = (
        (say(lang, "Nơi gửi (đơn vị báo cáo)", "From (reporting office)"), DOTS),
        (say(lang, "Nơi nhận (đơn vị nhận báo cáo)", "To (receiving office)"), DOTS),
    )
    sides = ["".join(f"<p>{escape(name)}: {blank}</p>" for name, blank in some) for some in (left, right)]
    name = say(lang, "Tỉnh", "Province of")
    return f"""<header>
<div>{sides[0]}</div>
<div class="middle"><h1>{escape(title(report))}</h1>
<p>{name} {escape(province(report))}</p><p class="standing">{escape(standing(report))}</p></div>
<div>{sides[1]}</div>
</header>"""


def _table(one: Table) -> str:
    note = f'<p class="note">{escape(one.note)}</p>' if one.note else ""
    if not one.rows:
        return f'<section><h2>{escape(one.title)}</h2>{note}<p class="empty">{escape(one.empty)}</p></section>\n'
    whole = sum(column.width for column in one.columns)
    widths = "".join(f'<col style="width:{100 * column.width / whole:.2f}%">' for column in one.columns)
    headings = "".join(f'<th scope="col">{escape(column.heading)}</th>' for column in one.columns)
    rows = "\n".join(_row(one, row) for row in one.rows)
    return f"""<section><h2>{escape(one.title)}</h2>{note}
<div class="wide" tabindex="0"><table>
<colgroup>{widths}</colgroup>
<thead><tr>{headings}</tr></thead>
<tbody>
{rows}
</tbody></table></div></section>
"""


def _row(one: Table, row: tuple[str, ...]) -> str:
    cells = zip(one.columns, row, strict=True)
    shown = "".join(f'<td class="n">{escape(cell)}</td>' if column.figures else f"<td>{escape(cell)}</td>" for column, cell in cells)
    return f'<tr class="long">{shown}</tr>' if sum(map(len, row)) > _LONG else f"<tr>{shown}</tr>"


def _signing(report: Report) -> str:
    signed = {one.role: one for one in report.signatures}
    columns = []
    for role in ROLES:
        vi, en = ROLE_NAMES[role]
        one = signed.get(role)
        by = say(report.lang, "đã ký", "signed")
        below = (
            _blank(role, report.lang) if one is None else f"<p class='name'>{escape(one.name)}</p><p>{by} {moment(one.at, report.lang)}</p>"
        )
        columns.append(f'<div><p class="role">{escape(say(report.lang, vi, en))}</p>{below}</div>')
    return f'<div class="signing">{"".join(columns)}</div>'


def _blank(role: Role, lang: Lang) -> str:
    stamp = say(lang, "Ký, đóng dấu, họ tên", "Signature, seal, name") if role is Role.HEAD else say(lang, "Ký, họ tên", "Signature, name")
    return f"<p><i>({stamp})</i></p><p class='name'>&nbsp;</p><p>{say(lang, 'Ngày …… tháng …… năm …………', '……/……/…………')}</p>"

# One image for every phusong process: `phusong worker`, `feed`, `gateway`, `notify`, `topics apply`.

FROM python:3.11.15-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/phusong
# Dependencies before sources: a change of code does not download them again.
COPY constraints.txt pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
    && /opt/phusong/bin/pip install --no-cache-dir --disable-pip-version-check -r requirements.txt -c constraints.txt
COPY LICENSE README.md ./
COPY phusong phusong
COPY access access
COPY producers producers
COPY streams streams
COPY feed feed
COPY ops ops
COPY seeds seeds
COPY docs/runbooks docs/runbooks
RUN /opt/phusong/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps .

FROM python:3.11.15-slim-bookworm
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin phusong
COPY --from=build /opt/phusong /opt/phusong
ENV PATH=/opt/phusong/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /home/phusong
ENTRYPOINT ["phusong"]
CMD ["--help"]

"""Pages of ops/docs that are lists of the source say what the source says, and links lead somewhere."""
import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ["DRAWBRIDGE_BUILD"]) / "bin/drawbridge"
LISTS = ("workers/domain/refusal.def", "workers/core/err.def", "workers/core/metric.def",
         "workers/gateway/routes.def", "workers/gateway/params.def", "workers/gateway/http_error.def")


def check(root):
    return subprocess.run([root / "ops/gen/pages", "--check"], capture_output=True, text=True)


def test_the_pages_are_made_from_the_lists_as_they_are():
    done = check(ROOT)
    assert done.returncode == 0, done.stderr


def test_a_changed_list_makes_its_page_stale(tmp_path):
    """The check above can fail."""
    for name in (*LISTS, "ops/gen/pages", "ops/docs/refusals.md", "ops/docs/errors.md", "ops/docs/metrics.md",
                 "ops/docs/http.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    assert check(tmp_path).returncode == 0
    changed = tmp_path / LISTS[0]
    changed.write_text(changed.read_text().replace("no such user", "nobody of that name"))
    done = check(tmp_path)
    assert done.returncode == 1
    assert "refusals.md" in done.stderr and "errors.md" not in done.stderr


def test_every_row_of_a_list_is_on_its_page():
    for source, page in zip(LISTS, ("refusals", "errors", "metrics")):
        listed = set(re.findall(r'^(?:REFUSAL|ERR|METRIC)\(.*?"([^"]+)"', (ROOT / source).read_text(), re.MULTILINE))
        shown = set(re.findall(r"^\| `([^`]+)`", (ROOT / f"ops/docs/{page}.md").read_text(), re.MULTILINE))
        assert listed - {"none"} == shown


def test_every_route_and_every_code_of_the_gateway_is_on_its_page():
    shown = (ROOT / "ops/docs/http.md").read_text()
    routes = re.findall(r'^ROUTE\(\w+, (\w+), "([^"]+)"', (ROOT / LISTS[3]).read_text(), re.MULTILINE)
    codes = re.findall(r'^HTTP_ERROR\(\w+, +\d+, "([^"]+)"', (ROOT / LISTS[5]).read_text(), re.MULTILINE)
    assert len(routes) > 20 and len(codes) > 10
    assert not [r for r in routes if f"| `{r[0]} {r[1]}` |" not in shown]
    assert not [c for c in codes if f"| `{c}` |" not in shown]


def test_links_between_the_documents_lead_somewhere():
    pages = [p for p in (*ROOT.glob("*.md"), *ROOT.glob("ops/docs/**/*.md"), *ROOT.glob("ops/adr/*.md"))]
    assert len(pages) > 10
    broken = [f"{p.relative_to(ROOT)}: {link}" for p in pages
              for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", p.read_text())
              if not (p.parent / link).exists()]
    assert not broken


def test_the_configuration_page_is_what_the_program_prints():
    """P-13: every key, from the table that the program itself uses."""
    printed = subprocess.run([PROGRAM, "config", "docs", "--markdown"], capture_output=True, text=True, check=True)
    page = (ROOT / "ops/docs/configuration.md").read_text()
    assert page.partition("-->\n\n")[2] == printed.stdout

"""Results as Markdown, and as pictures by gnuplot."""

import platform
import shutil
import statistics
import subprocess
from datetime import datetime, timezone

PLOT_SIZE = "900,450"


def median(results, *path):
    """The median over several results of what lies below `path` in each."""
    values = []
    for result in results:
        for name in path:
            result = result[name]
        values.append(result)
    return statistics.median(values)


def table(header, rows):
    """Cells are text, or numbers, which are rounded to three digits or whole."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell(c) for c in line) + " |" for line in lines) + "\n"


def cell(value):
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def ratio(a, b):
    """How many times `b` `a` is, as a cell."""
    return f"{a / b:.2f}" if b else "-"


def verdict(value, target, most=False):
    """A target and whether it is met; `most`: it is one not to be above."""
    met = value <= target if most else value >= target
    return f"{'≤' if most else '≥'} {target:g}: {'met' if met else '**not met**'}"


def version_of(*command):
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip().splitlines()[0] if done.stdout else None


def machine_line(data):
    """What this ran on and with."""
    versions = [
        f"{label} {version_of('pkg-config', '--modversion', name) or '?'}"
        for label, name in (("libevent", "libevent_core"), ("libcurl", "libcurl"),
                            ("LMDB", "lmdb"), ("OpenSSL", "libcrypto"))
    ]
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    model = f"{len(models)} × {models[0]}" if models else platform.machine()
    disk = version_of("stat", "-f", "-c", "%T", str(data)) or "?"
    today = datetime.now(timezone.utc).date()
    return (f"{today}: {model}, {platform.system()} {'.'.join(platform.release().split('.')[:2])}, "
            f"{', '.join(versions)}, {version_of('gcc', '--version') or 'gcc ?'}, data on {disk}.")


def plot(path, title, x_label, y_label, series, *settings):
    """
    Draws `series`, each what gnuplot's `plot` takes behind the file and its rows, to a PNG.
    Returns its line of Markdown, or "" where there is no gnuplot.
    """
    if not shutil.which("gnuplot"):
        return ""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"set terminal pngcairo size {PLOT_SIZE} font 'sans,10'", f"set output '{path}'",
        f"set title '{title}'", f"set xlabel '{x_label}'", f"set ylabel '{y_label}'",
        "set grid", "set key outside right", *settings,
        "plot " + ", ".join(f"'-' {style}" for style, _ in series),
    ]
    for _, rows in series:
        lines += [" ".join(f'"{c}"' if isinstance(c, str) else str(c) for c in row) for row in rows]
        lines.append("e")
    subprocess.run(["gnuplot"], input="\n".join(lines) + "\n", text=True, check=True)
    return f"\n![{title}](plots/{path.name})\n"


def bars(path, title, y_label, rows):
    """A bar for each (name, value)."""
    series = [(i, name, value) for i, (name, value) in enumerate(rows)]
    return plot(
        path, title, "", y_label, [("using 1:3:xtic(2) with boxes notitle", series)],
        "set style fill solid 0.6", "set boxwidth 0.7", "set yrange [0:*]",
        "set xtics rotate by -25",
    )

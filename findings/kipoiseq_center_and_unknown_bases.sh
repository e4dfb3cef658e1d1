#!/usr/bin/env bash
# kipoiseq centers an interval and its sequence one base apart, and decodes an unknown base as A.
#
# resize_interval and fixed_len both have the anchor center. An odd length that becomes a smaller even one keeps one
# base more on the left in the interval, and on the right in the sequence. An even length that becomes a larger odd
# one has the longer padding on the right of the interval, and on the left of the sequence. Labels by position are
# then off by one. one_hot gives N a quarter of each base, and one_hot2string picks the first of the equal ones. Lower
# case, which marks repeats in reference genomes, raises a KeyError in one_hot, and is all zeros in one_hot_dna.
#
# Seen with kipoiseq 0.7.1:
#   9 bases to 4: interval 2 to 6, sequence 3 to 7    10 bases to 13: interval from -1, sequence padded by 2
#   ACGNT encoded and decoded ACGAT    the sum of one_hot_dna of acgt 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'kipoiseq==0.7.1' 'kipoi==0.8.6' 'kipoi-utils==0.7.7' 'kipoi-conda==0.3.1' 'pyranges==0.1.7' 'gffutils==0.14' \
    'pyfaidx==0.9.2.2' 'six==1.17.0' 'setuptools==81.0.0' 'pandas==2.3.3' 'numpy==2.4.6'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
from types import SimpleNamespace

from kipoiseq.transforms.functional import fixed_len, one_hot, one_hot2string, one_hot_dna, resize_interval

LETTERS = "ABCDEFGHIJ"
apart = {}
for length in (9, 10):
    for width in (3, 4, 5, 6, 13, 14):
        sequence = LETTERS[:length]
        interval = resize_interval(SimpleNamespace(start=0, end=length), width, anchor="center")
        fixed = fixed_len(sequence, width, anchor="center", value="N")
        start = LETTERS.index(fixed[0]) if width < length else -fixed.index("A")
        apart[length, width] = start - interval.start
        print(length, "bases to", width, "interval", interval.start, interval.end, "sequence", fixed, "from", start)
        assert interval.end - interval.start == len(fixed) == width
print("sequence minus interval", apart)
assert apart == {key: 0 for key in apart} | {(9, 4): 1, (9, 6): 1, (10, 13): -1}

print("ACGNT decoded", one_hot2string(one_hot("ACGNT")[None]))
assert one_hot2string(one_hot("ACGNT")[None]) == ["ACGAT"]
print("sums of one_hot_dna", one_hot_dna("ACGT").sum(), one_hot_dna("acgt").sum(), one_hot_dna("N").sum())
assert one_hot_dna("ACGT").sum() == 4 and one_hot_dna("acgtR-").sum() == 0 and one_hot_dna("N").sum() == 1
try:
    one_hot("acgt")
except KeyError as error:
    print("one_hot of acgt raises KeyError", error)
else:
    raise SystemExit("one_hot takes lower case")
PYTHON

"""Draws turned.png: a page whose letters would have it stand on its head. Most of its small letters hang below the
line or keep to the x-height, and its commas hang high, as quotes; only reading tells which way up it is.

    python3 turned.py          # Pillow, and fonts-liberation2 or another face: FONT=...
"""

import os

from PIL import Image, ImageDraw, ImageFont

LINES = """open a pure grey pumpery, "pages" or a "copper
spy, my young puppy "nancy" was gay as any
gypsy; you may never pay your "mapping" agency
nor carry "peppery" syrup, grape or raspy gum
among seven "ponies" in your own paper "opera"
every summer, any "program" proves my energy
six "pygmy" suppers; crazy empress, "coy" poppy
ignore "a royal" survey: gross gaps, no "appeal\""""

font = ImageFont.truetype(os.environ.get("FONT", "/usr/share/fonts/truetype/liberation2/LiberationSerif-Regular.ttf"), 30)
page = Image.new("L", (760, 520), 255)
draw = ImageDraw.Draw(page)
for i, line in enumerate(LINES.split("\n")):
    draw.text((50, 60 + 54 * i), line, fill=20, font=font)
page.convert("P", palette=Image.ADAPTIVE, colors=8).convert("L").save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "turned.png"), optimize=True)

#!/usr/bin/python3
"""Makes the sample scans: python3 test/pages/generate.py [NAME ...] (packages: group `pages` of deps/debian.txt).

Each page gives NAME.jpg, .png or .tif; NAME.txt, its printed lines in reading order; and NAME.tsv, their boxes in
pixels of the upright page (pieces of one printed row apart). All texts were written for this purpose; every person,
firm and number in them is invented. A not-sign in the texts below is a place where a word may be divided.
"""
import pathlib
import sys
import zlib

import numpy as np

from paper import Scan, Sheet, age

HERE = pathlib.Path(__file__).parent
A4, A5 = (210, 297), (148, 210)
PAGES = {}


def page(f):
    PAGES[f.__name__] = f
    return f


def soft(s):
    return s.replace("¬", "\u00ad")


def paragraphs(sheet, x, y, texts, font, size, width, gap=2.2, **kw):
    for t in texts:
        y = sheet.text(x, y, soft(t), font, size, width, **kw) + gap
    return y


@page
def letter_en(rng):
    s = Sheet(*A4, 150)
    f, z = "Courier Prime", 12
    s.text(105, 20, "HARROW & FINCH, SEEDSMEN", f + " Bold", 14, align="center")
    s.text(105, 27, "17 Quay Street, Millhaven", f, 11, align="center")
    s.rule(30, 34, 180, 34, 0.4)
    s.text(180, 42, "4th March 1931", f, z, align="right")
    y = s.text(28, 54, "Miss Eleanor Whitcombe\nThe Old Rectory\nLower Bramley", f, z)
    y = s.text(28, y + 7, "Dear Miss Whitcombe,", f, z) + 4
    y = paragraphs(s, 28, y, [
        "Thank you for your letter of the 27th. We are sorry to learn that the parcel of sweet peas reached you "
        "in such a state, and that the mice at Lower Bramley station had the better half of it.",
        "A second parcel leaves us today by the 4.15 train, this time in a tin. It holds six packets of "
        "\"Painted Lady\", four of the tall blue sort, and, with our compliments, one of the new scarlet runner "
        "that took the first prize at Thornbury.",
        "As to your question about the walled garden: lime will do no harm on so heavy a soil, but it should be "
        "dug in before the frosts are over, and never in the same week as the manure. We enclose a short leaf¬let "
        "on the subject, written by our Mr Finch, who has had charge of clay for forty years and still speaks "
        "well of it.",
        "There is nothing to pay. Should the mice write to complain, kindly refer them to us."],
        f, z, 156, gap=4.5)
    y = s.text(105, y + 4, "Yours faithfully,", f, z)
    s.curve([(106 + t * 0.5, y + 9 + 4 * np.sin(t * 0.55) * np.exp(-t / 45) - t * 0.05) for t in np.arange(0, 74, 0.5)])
    s.text(105, y + 18, "Arthur Harrow", f, z)
    s.text(28, 266, "Encl.: one leaflet", f, z)
    grey = age(s.ink(), rng, paper=226, black=52, soft=0.75, wear=0.3, grain=3.4, stains=2, shade=5, folds=(0.335, 0.667))
    scan = Scan(grey, s.lines).bed(16, 12, 26, 20).skew(0.7, 38)
    return scan.holes([(46, 640), (46, 1120)], 17), {"quality": 74}


@page
def invoice_en(rng):
    s = Sheet(*A4, 150)
    f = "Carlito"
    s.text(22, 20, "Northgate Instruments Ltd", f + " Bold", 18)
    s.text(22, 29, "Clocks, barometers and repairs since 1974", f + " Italic", 11)
    s.text(188, 20, "INVOICE", f + " Bold", 20, align="right")
    s.rule(22, 38, 188, 38, 0.6)
    s.row(46, [(22, "left", "Invoice to", f + " Bold", 11), (120, "left", "Invoice no.", f, 11), (188, "right", "2026-0417", f, 11)])
    s.row(52, [(22, "left", "Seaview Museum", f, 11), (120, "left", "Date", f, 11), (188, "right", "12 May 2026", f, 11)])
    s.row(58, [(22, "left", "3 Harbour Walk", f, 11), (120, "left", "Customer", f, 11), (188, "right", "SM-118", f, 11)])
    s.row(64, [(22, "left", "Port Ellery PE4 2QX", f, 11), (120, "left", "Due", f, 11), (188, "right", "11 June 2026", f, 11)])
    s.frame(22, 78, 166, 9, 0.3, fill=0.09)
    b = f + " Bold"
    s.row(79.7, [(25, "left", "Description", b, 11), (122, "right", "Qty", b, 11), (152, "right", "Unit price", b, 11), (185, "right", "Amount", b, 11)])
    items = [("Overhaul of marine barometer, brass case", "1", "285.00", "285.00"),
             ("Replacement glass tube, 90 cm", "1", "64.50", "64.50"),
             ("Mercury, distilled, 250 g", "2", "38.25", "76.50"),
             ("Cleaning of regulator movement", "1", "190.00", "190.00"),
             ("Suspension spring, steel", "3", "7.40", "22.20"),
             ("Silk line for driving weight, metre", "12", "1.85", "22.20"),
             ("Silvering of dial, 30 cm", "1", "118.00", "118.00"),
             ("Collection and delivery by van", "2", "45.00", "90.00")]
    y = 91
    for what, n, each, all_ in items:
        s.row(y, [(25, "left", what, f, 11), (122, "right", n, f, 11), (152, "right", each, f, 11), (185, "right", all_, f, 11)])
        y += 8
        s.rule(22, y - 1.4, 188, y - 1.4, 0.15)
    y += 4
    for name, amount, style in (("Subtotal", "868.40", ""), ("VAT 20 %", "173.68", ""), ("Total GBP", "1,042.08", " Bold")):
        s.row(y, [(122, "left", name, f + style, 12), (185, "right", amount, f + style, 12)])
        y += 7.5
    s.rule(120, y, 188, y, 0.5)
    y = s.text(22, y + 14, "Please pay within 30 days to account 30021188, sort code 40-27-15, giving the invoice number. "
               "Parts carry a guarantee of two years. Thank you for letting us keep your clocks in good time.", f, 11, 120)
    s.text(105, 276, "Northgate Instruments Ltd, Unit 6, Foundry Lane, Port Ellery PE1 7AB", f, 9, align="center")
    grey = age(s.ink(), rng, paper=246, black=34, soft=0.55, wear=0.08, grain=2.2, shade=1.5)
    return Scan(grey, s.lines).skew(-0.4, 246), {"quality": 74}


@page
def journal_en(rng):
    s = Sheet(*A4, 150)
    f = "TeX Gyre Termes"
    s.row(16, [(20, "left", "Annals of Small Rivers", f + " Italic", 10.5), (190, "right", "Vol. 12 (1987)", f + " Italic", 10.5)])
    s.rule(20, 22, 190, 22, 0.2)
    s.text(105, 30, "On the Singing of Weirs", f + " Bold", 20, align="center")
    s.text(105, 41, "M. Oduya and P. Lindqvist", f, 12, align="center")
    left = [
        "It has long been known to anglers that some weirs sing. The note is low, steady and, on a still evening, can be "
        "heard for half a mile. Why one weir should sing and its neigh¬bour keep silent has not, so far as we know, been "
        "asked in print before.",
        "We visited forty-one weirs on the rivers Tarn, Ebble and Wick between April and October 1985. At each we measured "
        "the height of the fall, the depth of water on the crest and the air tempera¬ture, and listened for ten minutes. "
        "Seven of the forty-one were found to sing.",
        "All seven have a sharp crest and a curtain of water that falls free of the wall, with a pocket of air behind it. "
        "When a board was held so as to let the air out, the note stopped at once; when the board was taken away it came "
        "back within a minute. Of the thirty-four silent weirs only two have such a pocket, and in both it is open at one side.",
        "The pitch depends on the height of the fall and on little else. A fall of one metre gives about 18 beats in a "
        "second, a fall of two metres about 12. Figure 1 shows the curtain at Ebble Mill, drawn from a photo¬graph."]
    right = [
        "We think that the air in the pocket acts as a spring and the curtain as the weight upon it. A small swelling of "
        "the curtain, carried down by the water, strikes the pool below and presses on the air, which in turn pushes out "
        "the next. The time that water takes to fall then sets the beat.",
        "If this is right, a weir can be silenced by break¬ing the curtain. Three bricks on the crest at Wick Lock, placed "
        "there with the kind leave of the keeper, did so for as long as they stayed.",
        "Not everybody was pleased. The keeper's wife, who had slept beside the weir for twenty years, could not sleep "
        "without it, and the bricks were taken away on the third day.",
        "We thank the keepers of all locks, and J. Amory for the loan of a boat."]
    y = paragraphs(s, 20, 53, left, f, 11, 81, gap=1.2, justify=True, indent=4, leading=1.06)
    top = 53
    s.frame(109, top, 81, 52, 0.25)
    for k in range(9):  # the curtain of water, the wall and the pool
        s.curve([(124 + (15 + 2.2 * k) * t, top + 11 - 0.4 * k + 36 * t * t) for t in np.linspace(0, 1, 30)], 0.18)
    s.curve([(112, top + 12), (124, top + 12), (124, top + 49), (112, top + 49)], 0.5)
    for k in range(5):
        s.curve([(128 + t, top + 46.5 + k * 0.9 + 0.7 * np.sin(t / 2 + k)) for t in np.arange(0, 58, 0.5)], 0.15)
    y = s.text(109, top + 54, "Figure 1. The curtain at Ebble Mill, seen from the side.", f + " Italic", 10, 81) + 3
    y = paragraphs(s, 109, y, right[:2], f, 11, 81, gap=1.2, justify=True, indent=4, leading=1.06)
    y = s.text(109, y + 3, "What the neighbours say", f + " Bold", 12.5) + 1.5
    y = paragraphs(s, 109, y, right[2:], f, 11, 81, gap=1.2, justify=True, indent=4, leading=1.06)
    s.text(105, 280, "203", f, 10.5, align="center")
    back = Sheet(*A4, 150)
    paragraphs(back, 20, 30, left + right, f, 11, 81, justify=True)
    grey = age(s.ink(), rng, paper=240, black=36, soft=0.55, wear=0.1, grain=2.4, back=back.ink(), show=0.045, shade=3, gutter=60)
    return Scan(grey, s.lines).skew(0.3, 236), {"quality": 74}


@page
def book_en(rng):
    s = Sheet(128, 200, 200)
    f = "IM FELL DW Pica"
    s.row(12, [(22, "left", "212", f, 11), (66, "center", "THE HISTORY OF CLOUDS", f, 11)])
    y = s.text(66, 24, "CHAPTER XIV.", f, 14, align="center")
    y = s.text(66, y + 1, "Of Rain upon the Hills, and who is glad of it.", f + " Italic", 12, align="center") + 4
    y = paragraphs(s, 18, y, [
        "When the wind has blown three days from the sea, and the shepherds have turned their collars up, there comes a "
        "morning upon which the hill is not to be found. It has not gone away; but it has put on its cloud, as a lady puts "
        "on a veil, and will not be looked at until it pleases.",
        "The common people say that the rain which falls in such weather is the softest of all, and best for washing wool. "
        "I have tried it, and it is so. A pound of fleece, washed in well water, lost two ounces and a quarter of its "
        "grease; washed in hill rain, three ounces, and was whiter.",
        "Doctor Pennyfeather, of whom I have spoken in the ninth chapter, would have it that all clouds are of one kind, "
        "and differ only as they are near or far. He had never been inside of one. I have been inside of many, and can "
        "report that some are dry, some wet, and one, which I met with upon the road to Kirkstone in the year 1788, was "
        "full of sheep.",
        "Let the reader therefore go up, and see for himself. He will want stout shoes, a piece of cheese, and a friend "
        "who does not talk. If he should come down again without having seen any thing at all, he has seen a cloud."],
        f, 12.5, 94, gap=0.6, justify=True, indent=5, leading=1.04)
    s.text(112, y + 2, "Of", f, 12.5, align="right")
    back = Sheet(128, 200, 200)
    paragraphs(back, 18, 24, ["Of the lesser rains there is no end, and he that would number them had better begin with the "
                              "drops. " * 14], f, 12.5, 94, justify=True)
    grey = age(s.ink(), rng, paper=216, black=62, soft=0.95, wear=0.28, grain=3.2, stains=4, back=back.ink(), show=0.09,
               shade=8, gutter=85)
    return Scan(grey, s.lines).skew(-0.8, 206), {"quality": 74, "dpi": 200}


@page
def receipt_en(rng):
    s = Sheet(78, 158, 200)
    f, z = "IBM 3270,", 11.5
    y = s.text(39, 8, "THE CORNER SHELF", f, 16, align="center")
    y = s.text(39, y + 1, "Grocer - 8 Mill Lane", f, z, align="center")
    y = s.text(39, y + 0.5, "Tel. 0555 014 233", f, z, align="center")
    y = s.row(y + 5, [(6, "left", "14/02/2026 17:42", f, z), (72, "right", "TILL 2", f, z)]) + 1
    s.text(6, y, "Receipt 004812", f, z)
    y += 6
    s.rule(6, y, 72, y, 0.25)
    y += 3
    for name, price in (("BROWN BREAD 800G", "2.45"), ("CHEDDAR MATURE", "4.80"), ("EGGS FREE RANGE X6", "2.10"),
                        ("TOMATOES 0.740 KG", "1.92"), ("LEMONS 3 X 0.35", "1.05"), ("TEA LOOSE 125G", "3.60"),
                        ("MARMALADE", "2.95"), ("CHOC. ORANGE", "1.75")):
        y = s.row(y, [(6, "left", name, f, z), (72, "right", price, f, z)]) + 1
    y += 1
    s.rule(6, y, 72, y, 0.25)
    y = s.row(y + 2, [(6, "left", "TOTAL", f, 15), (72, "right", "20.62", f, 15)]) + 2
    y = s.row(y, [(6, "left", "CASH", f, z), (72, "right", "25.00", f, z)]) + 1
    y = s.row(y, [(6, "left", "CHANGE", f, z), (72, "right", "4.38", f, z)]) + 6
    y = s.text(39, y, "8 ITEMS - THANK YOU", f, z, align="center")
    y = s.text(39, y + 1, "Keep this slip for 28 days", f, z, align="center") + 5
    widths = rng.integers(1, 5, 46)
    x = 14.0
    for k, w in enumerate(widths):
        if k % 2 == 0:
            s.frame(x, y, 0.33 * w, 11, 0.02, fill=1.0)
        x += 0.36 * w
    grey = age(s.ink(), rng, paper=238, black=68, soft=0.7, wear=0.2, grain=3, shade=5, folds=(0.55,))
    return Scan(grey, s.lines).bed(30, 24, 34, 24, level=58).skew(-1.2, 58), {"quality": 74, "dpi": 200}


@page
def form_en(rng):
    s = Sheet(*A4, 150)
    f, t = "PT Sans", "Courier Prime"
    s.text(20, 18, "Borough of Ellerby", f, 12)
    s.text(20, 25, "Application for a Reader's Ticket", f + " Bold", 18)
    s.text(190, 18, "Form L 7", f, 11, align="right")
    s.text(20, 36, "Please write clearly in ink or use a typewriter. One form for each reader.", f + " Italic", 11)
    y = 48
    for label, value, x, w in (("1. Surname", "ABERNATHY", 20, 82), ("2. First names", "Clara Josephine", 108, 82),
                               ("3. Address", "22 Tannery Row, Ellerby", 20, 170),
                               ("4. Date of birth", "19 July 1949", 20, 82), ("5. Occupation", "Piano tuner", 108, 82),
                               ("6. Name and address of guarantor", "Dr. H. Molloy, 5 Church Hill, Ellerby", 20, 170)):
        s.frame(x, y, w, 17, 0.25)
        s.text(x + 2.5, y + 1.6, label, f, 10)
        s.text(x + 4, y + 8.2, value, t, 13)
        if x + w > 180:
            y += 21
    s.text(20, y + 3, "7. Which departments do you wish to use?", f, 11)
    y += 12
    for i, (what, ticked) in enumerate((("Lending library", True), ("Reference room", False), ("Music and scores", True), ("Newspapers", False))):
        x = 22 + 44 * i
        s.frame(x, y, 4.5, 4.5, 0.3)
        if ticked:
            s.curve([(x + 0.6, y + 0.7), (x + 3.9, y + 4.0)], 0.6)
            s.curve([(x + 3.9, y + 0.5), (x + 0.7, y + 4.1)], 0.6)
    s.row(y - 0.6, [(29 + 44 * i, "left", w, f, 11) for i, w in enumerate(("Lending library", "Reference room", "Music and scores", "Newspapers"))])
    y += 16
    y = s.text(20, y, "I undertake to return every book in the condition in which I received it, to pay for any that is "
               "lost, and to keep silence in the reference room.", f, 11, 170) + 16
    s.rule(20, y, 92, y, 0.25)
    s.rule(118, y, 190, y, 0.25)
    s.curve([(24 + k * 0.55, y - 6 + 3.4 * np.sin(k * 0.7) * np.cos(k * 0.13)) for k in np.arange(0, 84, 0.4)], 0.4)
    s.text(120, y - 6.5, "3 October 1985", t, 13)
    s.row(y + 1.5, [(20, "left", "Signature of applicant", f, 10), (118, "left", "Date", f, 10)])
    y += 18
    s.frame(20, y, 170, 27, 0.25, fill=0.07)
    s.text(23, y + 2.5, "For office use", f + " Bold", 11)
    s.row(y + 11, [(23, "left", "Ticket no.", f, 11), (48, "left", "40718", t, 13), (84, "left", "Issued by", f, 11), (108, "left", "R. Tate", t, 13)])
    s.row(y + 19, [(23, "left", "Expires", f, 11), (48, "left", "30.9.1987", t, 13), (84, "left", "Fee paid", f, 11), (108, "left", "£ 2.50", t, 13)])
    grey = age(s.ink(), rng, paper=232, black=48, soft=0.6, wear=0.16, grain=2.8, stains=1, shade=4, folds=(0.5,))
    return Scan(grey, s.lines).skew(0.9, 228), {"quality": 74}


@page
def minutes_en(rng):
    """Lies on its side: has to be turned by 90 degrees, counter-clockwise, to be read."""
    s = Sheet(210, 200, 150)
    f = "Liberation Sans"
    y = s.text(20, 16, "Minutes of the Allotment Society", f + " Bold", 16)
    y = s.text(20, y + 2, "Village hall, Tuesday 9 September 2025, 7.30 p.m.", f, 11) + 5
    for n, head, body in (
            ("1.", "Apologies", "Mrs Tran and Mr Osei sent apologies. The minutes of 8 July were read and agreed."),
            ("2.", "Water", "The pump failed on 14 August and was mended on the 19th at a cost of 146 pounds. It was agreed to "
             "buy a second tap for the lower plots before next summer."),
            ("3.", "Plots", "Four plots are free: 11, 23, 24 and 40. There are nine names on the list. Plot 40 floods and will be "
             "offered at half rent to anyone who wants to grow watercress."),
            ("4.", "Hedgehogs", "A family of hedgehogs lives behind the compost of plot 17. Bonfires there are not to be lit until "
             "the secretary has looked. Carried without a vote against."),
            ("5.", "Autumn show", "To be held on 4 October. Entries for the longest leek close on the Friday before. The judge "
             "will be from another village.")):
        s.text(20, y, n, f, 11)
        first = len(s.lines) - 1
        bottom = s.text(29, y, head, f + " Bold", 11)
        number, title = s.lines[first], s.lines[first + 1]
        s.lines[first:] = [(number[0] + " " + title[0], number[1] + title[1])]
        y = s.text(29, bottom + 0.8, body, f, 11, 160, leading=1.15) + 4
    s.text(20, y + 2, "The meeting closed at 8.50 p.m.", f, 11)
    grey = age(s.ink(), rng, paper=240, black=40, soft=0.6, wear=0.1, grain=2.6, shade=3)
    scan = Scan(grey, s.lines).skew(0.5, 240)
    scan.image = scan.image.rotate(-90, expand=True)  # the boxes stay those of the upright page
    return scan, {"quality": 74}


@page
def fax_en(rng):
    s = Sheet(*A4, 200)
    f, z = "Nimbus Sans", 12
    s.row(9, [(14, "left", "11 NOV 1994 09:27", "Nimbus Mono PS", 10), (105, "center", "FROM DELMAR HARBOUR OFFICE", "Nimbus Mono PS", 10),
              (196, "right", "P.01", "Nimbus Mono PS", 10)])
    s.text(24, 26, "FAX", f + " Bold", 26)
    y = 42
    for a, b in (("To:", "Captain I. Sorensen, MV Halcyon"), ("From:", "Delmar Harbour Office"), ("Pages:", "1"), ("Subject:", "Berth for Thursday night")):
        s.row(y, [(24, "left", a, f + " Bold", z), (52, "left", b, f, z)])
        y += 7.5
    s.rule(24, y + 1, 186, y + 1, 0.5)
    y = paragraphs(s, 24, y + 8, [
        "Dear Captain,",
        "Your berth for Thursday is number 14 on the north mole, not number 4 as in our message of yesterday. Number 4 is "
        "taken by the dredger, which has broken down again and will not move before Monday.",
        "High water is at 21:48. Please be off the bar by 21:15 and call the pilot on channel 12. There is a cross current "
        "of about two knots at the mole head on the ebb, and the green light is out of order.",
        "Fresh water can be taken on board from 06:00. The customs officer will come at 07:30 and asks that the cat be kept "
        "below this time.",
        "The agent has the new charts ready: 1187, 1190 and 2206. He would be glad of a cheque for 384 dollars.",
        "With kind regards,"], f, z, 158, gap=4.2, leading=1.18)
    s.curve([(25 + k * 0.5, y + 8 + 4 * np.sin(k * 0.5) * np.cos(k * 0.09)) for k in np.arange(0, 70, 0.4)], 0.5)
    s.text(24, y + 17, "B. Quintero, Harbour Master", f, z)
    grey = age(s.ink(), rng, paper=244, black=30, soft=1.1, wear=0.16, grain=4, shade=4)
    return Scan(grey, s.lines).skew(1.8, 244).fax(rng), {"format": "tif"}


@page
def letter_de(rng):
    s = Sheet(*A4, 150)
    f, z = "Linux Libertine O", 12.5
    s.text(190, 20, "Buchbinderei Käthe Süßmilch", f + " Bold", 17, align="right")
    s.text(190, 28.5, "Färbergasse 9 · 04619 Grünau", f, 11, align="right")
    s.text(190, 34, "Fernruf 27 38", f, 11, align="right")
    y = s.text(26, 48, "Herrn Studienrat\nDr. Jürgen Mößner\nÄußere Ringstraße 112\nGrünau", f, z)
    s.text(190, y + 6, "Grünau, den 18. Februar 1958", f, z, align="right")
    y = s.text(26, y + 18, "Ihre Bestellung vom 3. Februar", f + " Bold", z) + 5
    y = paragraphs(s, 26, y, [
        "Sehr geehrter Herr Doktor,",
        "die zwölf Bände der „Geographischen Blätter“ sind fertig. Ich habe sie, wie gewünscht, in grünes Leinen gebunden, "
        "mit schwarzem Rückenschild und Goldprägung. Bei Band 7 fehlte der letzte Bogen; Ihre Schülerin hat ihn abge¬schrieben, "
        "und ich habe die Blätter mit eingeheftet.",
        "Der Preis beträgt je Band 8,40 DM, zusammen also 100,80 DM. Für die Karten, die gefalzt und auf Fälze gesetzt werden "
        "mussten, kommen 14,50 DM hinzu. Über die Ausbesserung des Einbandes von Band 3, an dem offenbar ein Hund beteiligt "
        "war, wollen wir nicht reden.",
        "Sie können die Bücher täglich zwischen 8 und 18 Uhr abholen, außer Mittwoch nachmittags. Bitte bringen Sie zwei "
        "kräftige Schüler mit, denn das Ganze wiegt einen guten halben Zentner.",
        "Mit freundlichen Grüßen"], f, z, 162, gap=3.6, leading=1.14)
    s.curve([(27 + k * 0.5, y + 6 + 4.5 * np.sin(k * 0.62) * np.exp(-k / 50)) for k in np.arange(0, 66, 0.4)], 0.45)
    s.text(26, y + 14, "Käthe Süßmilch, Buchbindermeisterin", f, z)
    grey = age(s.ink(), rng, paper=228, black=44, soft=0.7, wear=0.2, grain=3, stains=2, shade=6, folds=(0.34, 0.67))
    return Scan(grey, s.lines).bed(10, 14, 18, 10).skew(-0.6, 40), {"quality": 74}


@page
def pricelist_de(rng):
    s = Sheet(*A5, 200)
    f, z = "Old Standard TT", 11.5
    s.text(74, 12, "Verzeichnis der Obstbäume", f + " Bold", 16, align="center")
    s.text(74, 21, "aus der Baumschule Ehrlich & Söhne, Herbst 1911", f + " Italic", 11.5, align="center")
    s.rule(54, 29, 94, 29, 0.3)
    y = 33
    for head, rows in (("Äpfel, Hochstamm", (("Goldrenette von Blenheim", "1,80"), ("Gravensteiner", "1,60"), ("Roter Eiserapfel", "1,40"), ("Schöner von Boskoop", "1,75"), ("Weißer Klarapfel", "1,50"))),
                       ("Birnen, Halbstamm", (("Gute Graue", "1,90"), ("Köstliche aus Charneux", "2,10"), ("Römische Schmalzbirne", "1,70"), ("Williams Christbirne", "2,00"))),
                       ("Pflaumen und Kirschen", (("Große grüne Reineclaude", "1,65"), ("Hauszwetsche", "1,20"), ("Hedelfinger Riesenkirsche", "1,85"), ("Schattenmorelle", "1,30"))),
                       ("Beerensträucher, je Dutzend", (("Johannisbeere, rote holländische", "3,60"), ("Stachelbeere, frühe gelbe", "4,20"), ("Himbeere, Fastolf", "2,40")))):
        s.row(y, [(16, "left", head, f + " Bold", 12.5), (132, "right", "Mk.", f + " Italic", 11)])
        y += 7
        for name, price in rows:
            s.row(y, [(20, "left", name, f, z), (132, "right", price, f, z)])
            y += 6.1
        y += 2.5
    s.text(16, y, "Verpackung wird zum Selbstkostenpreis berechnet. Für das Anwachsen wird bei rechtzeitiger Pflanzung gebürgt.", f + " Italic", 11, 116)
    back = Sheet(*A5, 200)
    paragraphs(back, 16, 14, ["Bei Abnahme von fünfzig Stück und mehr gewähren wir einen Nachlaß von fünf vom Hundert. " * 9], f, z, 116)
    grey = age(s.ink(), rng, paper=220, black=56, soft=0.8, wear=0.22, grain=3, stains=3, back=back.ink(), show=0.08, shade=6, gutter=45)
    return Scan(grey, s.lines).skew(0.5, 212), {"quality": 74, "dpi": 200}


@page
def recipe_fr(rng):
    s = Sheet(*A5, 200, language="fr")
    f, z = "Baskervald ADF Std", 12.5
    s.text(74, 13, "Cahier de cuisine", f + " Italic", 12, align="center")
    s.text(74, 21, "Tarte aux mirabelles", f + " Bold", 20, align="center")
    s.rule(44, 32, 104, 32, 0.25)
    y = s.text(16, 36, "Pour six personnes", f + " Italic", z) + 2
    for a, b in (("farine", "250 g"), ("beurre très froid", "125 g"), ("sucre roux", "90 g"), ("mirabelles bien mûres", "1 kg"), ("œufs frais", "2"), ("crème épaisse", "15 cl")):
        y = s.row(y, [(20, "left", a, f, z), (78, "right", b, f, z)]) + 0.8
    y = paragraphs(s, 16, y + 4, [
        "Préparez la pâte la veille : mêlez du bout des doigts la farine, le beurre et une pincée de sel, mouillez d’un demi-verre "
        "d’eau, et laissez reposer au frais sous un torchon.",
        "Le lendemain, étalez-la sans trop la tra¬vailler, garnissez-en le moule et piquez le fond à la fourchette. Ôtez les "
        "noyaux, puis rangez les fruits serrés, la peau contre la pâte ; ils rendront moins de jus.",
        "Battez les œufs avec la crème et la moitié du sucre. Après vingt minutes à four chaud, versez ce mélange sur les "
        "fruits et remettez à cuire jusqu’à ce que le dessus soit doré, un bon quart d’heure.",
        "Saupoudrez du reste de sucre et servez tiède. Ma grand-mère y ajoutait une cuillerée d’eau-de-vie, « pour le "
        "parfum », disait-elle, et personne n’osait la contredire."], f, z, 116, gap=2, justify=True, leading=1.08)
    s.text(74, 198, "– 37 –", f, 11, align="center")
    grey = age(s.ink(), rng, paper=230, black=50, soft=0.75, wear=0.18, grain=2.8, stains=4, shade=5, gutter=40)
    return Scan(grey, s.lines).skew(-0.5, 224), {"quality": 74, "dpi": 200}


@page
def article_es(rng):
    s = Sheet(160, 190, 160, language="es")
    f, z = "PT Serif", 10.5
    s.row(10, [(14, "left", "EL FARO DE LEVANTE", f, 10), (146, "right", "Domingo, 6 de junio de 1965", f, 10)])
    s.rule(14, 16, 146, 16, 0.4)
    s.text(80, 20, "El tren que paró por una cigüeña", f + " Bold", 19, align="center")
    s.text(80, 31, "Veinte minutos de retraso y ninguna queja", f + " Italic", 12, align="center")
    left = ["VILLAHERMOSA. – El correo de las siete y diez no llegó ayer a su hora. A la entrada del puente viejo, el maquinista, "
            "don Ramón Ibáñez, vio que una cigüeña empollaba tranquila entre las dos vías, y detuvo el convoy.",
            "«Toqué el silbato tres veces», nos contó por la tarde, «y ella me miró como quien mira llover. ¿Qué iba a hacer "
            "yo?»",
            "Los viajeros, unos ochenta, bajaron al camino. Alguien sacó una guitarra, una señora repartió rosquillas y el "
            "maestro aprovechó para dar a los niños una lección de historia natural."]
    right = ["Al cabo de veinte minutos llegó el guardagujas con una escalera y una cesta. El nido, con sus cuatro huevos, pasó "
             "al tejado de la caseta, y la madre, después de dar dos vueltas en el aire, lo aceptó.",
             "La compañía no piensa sancionar a nadie. Según el jefe de estación, «hay retrasos que honran a un "
             "ferrocarril».",
             "El lunes se pondrá en la caseta un letrero que diga: «Silencio, se ruega. Aquí se cría». Los niños de la "
             "escuela ya lo están pintando."]
    a = paragraphs(s, 14, 41, left, f, z, 63, gap=1, justify=True, indent=3, leading=1.12)
    paragraphs(s, 83, 41, right, f, z, 63, gap=1, justify=True, indent=3, leading=1.12)
    s.rule(80, 42, 80, a - 1, 0.2)
    back = Sheet(160, 190, 160)
    paragraphs(back, 14, 20, ["Se vende carro casi nuevo, con mula o sin ella. Razón en esta imprenta. " * 22], f, z, 63)
    grey = age(s.ink(), rng, paper=208, black=66, soft=0.7, wear=0.24, grain=3.6, back=back.ink(), show=0.10, shade=7, folds=(0.52,))
    h = int(grey.shape[0] * (a + 12) / 190)
    return Scan(grey[:h], s.lines).bed(22, 18, 22, 18, level=232).skew(0.8, 232), {"quality": 74, "dpi": 160}


def write(name, scan, how):
    if how.get("format") == "tif":
        scan.image.save(HERE / f"{name}.tif", compression="group4", dpi=(200, 200))
    else:
        scan.image.save(HERE / f"{name}.jpg", quality=how["quality"], dpi=(how.get("dpi", 150),) * 2)
    (HERE / f"{name}.txt").write_text("".join(t + "\n" for t, _ in scan.lines))
    rows = ["\t".join([*(str(round(v)) for v in box), t]) for _, pieces in scan.lines for box, t in pieces]
    (HERE / f"{name}.tsv").write_text("x0\ty0\tx1\ty1\ttext\n" + "".join(r + "\n" for r in rows))


def main():
    for name in sys.argv[1:] or PAGES:
        scan, how = PAGES[name](np.random.default_rng(zlib.crc32(name.encode())))
        write(name, scan, how)
        print(name, *scan.image.size)


main()

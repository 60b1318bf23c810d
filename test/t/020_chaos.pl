# The queue under kills: the small run of test/chaos/chaos.pl (make chaos does the large one).
use strict;
use warnings;
use Dsocr; # before the other file is: it does things when the program begins
use FindBin;

do "$FindBin::Bin/../chaos/chaos.pl" or die $@ || "chaos.pl: $!";

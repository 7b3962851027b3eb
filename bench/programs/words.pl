# Work for the perl row: words counted, cut with regular expressions and joined again.
use strict;
use warnings;

my $state = 12345;
sub below {
  my ($n) = @_;
  $state = ($state * 1103515245 + 12345) % 2147483648;
  return int($state / 65536) % $n;
}

my $total = 0;
for my $round (1 .. 5) {
  my %count;
  my @lines;
  for my $i (1 .. 20_000) {
    push @lines, join(" ", map { "w" . below(3000) } 1 .. 1 + below(12));
  }
  for my $line (@lines) {
    $count{$_}++ for split / /, $line;
    (my $copy = $line) =~ s/w(\d)(\d*)/$2-$1/g;
    $total += length $copy;
  }
  my %by_count;
  push @{ $by_count{ $count{$_} } }, $_ for sort keys %count;
  $total += scalar(@{ $by_count{$_} }) * $_ for keys %by_count;
}
print "$total\n";

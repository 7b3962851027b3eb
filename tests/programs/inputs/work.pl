# Work for perl that allocates in many ways and prints what comes out. Argument: how much of it.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Storable qw(dclone freeze thaw);
use List::Util qw(sum0 shuffle);

my $scale = shift // 1;
my $state = 12345;
sub next_random { $state = ($state * 1103515245 + 12345) % 2147483648; return $state % $_[0]; }

# Words in a hash of arrays, sorted and joined.
my %by_prefix;
for my $i (1 .. 60000 * $scale) {
    my $word = join '', map { chr(97 + next_random(26)) } 1 .. 3 + next_random(9);
    push @{ $by_prefix{ substr $word, 0, 2 } }, $word;
}
my $text = join ' ', map { sort @{ $by_prefix{$_} } } sort keys %by_prefix;
print 'words ', length($text), ' ', sha256_hex($text), "\n";

# Regular expressions that copy, capture and replace.
(my $changed = $text) =~ s/\b(\w)(\w*?)(\w)\b/$3$2$1/g;
my %count;
$count{$1}++ while $changed =~ /(\w{4})/g;
my @top = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 9];
print 'regex ', sha256_hex($changed), " @top\n";

# A string that grows, one that shrinks, and splits of both.
my $grown = '';
$grown .= "$_," for 1 .. 200000 * $scale;
print 'grown ', sum0(split /,/, $grown), "\n";
substr($grown, 0, 1000) = '' while length $grown > 500000;
print 'shrunk ', sha256_hex($grown), "\n";

# Deep structures, copied, frozen, thawed and dropped.
my $tree = { name => 'root', children => [] };
for my $i (1 .. 2000 * $scale) {
    push @{ $tree->{children} },
        { name => "n$i", list => [ 1 .. 1 + $i % 40 ], text => 'x' x ($i % 500) };
}
my $copy = thaw(freeze(dclone($tree)));
my @flat = map { $_->{name} . "@{$_->{list}}" . $_->{text} } @{ $copy->{children} };
print 'tree ', sha256_hex(join ',', @flat), "\n";

# Numbers, sorted.
my @numbers = map { next_random(1000000) } 1 .. 200000 * $scale;
print 'sorted ', sha256_hex(join ',', sort { $a <=> $b } @numbers), "\n";

# Children that allocate and answer through a pipe.
for my $child (1 .. 5) {
    my $pid = open(my $pipe, '-|') // die "fork: $!";
    if (!$pid) {
        my @mine = map { "$child $_" } 1 .. 20000;
        print sha256_hex(join ',', @mine), "\n";
        exit 0;
    }
    print "child $child ", <$pipe>;
    close $pipe or die "child ended with $?";
}
warn "done\n";

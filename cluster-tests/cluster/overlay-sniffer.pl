#!/usr/bin/perl
# Prints every frame that contains a mark, on every interface of a network namespace, as the kernel hands it to packet
# sockets: incoming frames before bridge rules see them, outgoing ones as they leave. One JSON object per line on
# stdout; ends with its stdin. perl-base only. Started by overlay-sniffer.ts, inside the namespace:
#   overlay-sniffer.pl MARK-IN-HEX [BYTES]
# With BYTES it counts instead: frames of one interface, one direction, one VNI of VXLAN and the same BYTES behind the
# mark are one line "LINK WAY VNI BYTES COUNT". Each line on its stdin is answered with the counts so far, once every
# frame that has arrived was counted.
use strict;
use warnings;

my ($hex, $kept) = @ARGV;
die "usage: overlay-sniffer.pl MARK-IN-HEX [BYTES]\n" unless defined $hex && $hex =~ /^(?:[0-9a-f]{2}){4,}$/;
my $mark = pack 'H*', $hex;
my ($AF_PACKET, $SOCK_RAW, $ETH_P_ALL, $SIOCGIFNAME) = (17, 3, 3, 0x8910);
my ($SOL_SOCKET, $SO_RCVBUFFORCE, $SOL_PACKET, $PACKET_STATISTICS) = (1, 33, 263, 6);
socket my $wire, $AF_PACKET, $SOCK_RAW, unpack('S', pack 'n', $ETH_P_ALL) or die "no packet socket: $!\n";
setsockopt $wire, $SOL_SOCKET, $SO_RCVBUFFORCE, 64 << 20 or die "no larger buffer: $!\n";

my %names;
sub name_of {
  my ($index) = @_;
  my $request = pack 'x16 i x20', $index;
  $names{$index} //= ioctl($wire, $SIOCGIFNAME, $request) ? unpack('Z16', $request) : "gone-$index";
  return $names{$index};
}

my (%counts, $lost);

# The VNI of a VXLAN packet in IPv4, 0 for everything else.
sub vni_of {
  my ($frame) = @_;
  return 0 if length $frame < 50 || unpack('x12 n', $frame) != 0x800 || unpack('x23 C', $frame) != 17;
  return unpack('x36 n', $frame) == 4789 ? unpack('x46 N', $frame) >> 8 : 0;
}

sub tell_counts {
  $lost += unpack 'x4 L', getsockopt $wire, $SOL_PACKET, $PACKET_STATISTICS;
  my $said = join ',', map { "\"$_ $counts{$_}\"" } sort keys %counts;
  print "{\"event\":\"counts\",\"lost\":$lost,\"counts\":[$said]}\n";
}

$| = 1;
$lost = 0;
print "{\"event\":\"open\"}\n";
while (1) {
  my $ready = '';
  vec($ready, fileno($_), 1) = 1 for \*STDIN, $wire;
  select $ready, undef, undef, undef;
  if (!vec $ready, fileno($wire), 1) {
    sysread(STDIN, my $typed, 4096) or exit 0;
    tell_counts();
    next;
  }
  my $from = recv $wire, my $frame, 65536, 0 or next;
  my $at = index $frame, $mark;
  next if $at < 0;
  my ($index, $way) = unpack 'x4 i x2 C', $from;
  my $where = $way == 4 ? 'out' : 'in';
  if (defined $kept) {
    $counts{ join ' ', name_of($index), $where, vni_of($frame), substr $frame, $at + length $mark, $kept }++;
  } else {
    printf "{\"link\":\"%s\",\"way\":\"%s\",\"frame\":\"%s\"}\n", name_of($index), $where, unpack 'H*', $frame;
  }
}

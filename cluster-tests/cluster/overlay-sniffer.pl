#!/usr/bin/perl
# Prints every frame that contains a mark, on every interface of a network namespace, as the kernel hands it to packet
# sockets: incoming frames before bridge rules see them, outgoing ones as they leave. One JSON object per line on
# stdout; ends with its stdin. perl-base only. Started by overlay-sniffer.ts, inside the namespace:  overlay-sniffer.pl
# MARK-IN-HEX
use strict;
use warnings;

my ($hex) = @ARGV;
die "usage: overlay-sniffer.pl MARK-IN-HEX\n" unless defined $hex && $hex =~ /^(?:[0-9a-f]{2}){4,}$/;
my $mark = pack 'H*', $hex;
my ($AF_PACKET, $SOCK_RAW, $ETH_P_ALL, $SIOCGIFNAME) = (17, 3, 3, 0x8910);
my ($SOL_SOCKET, $SO_RCVBUFFORCE) = (1, 33);
socket my $wire, $AF_PACKET, $SOCK_RAW, unpack('S', pack 'n', $ETH_P_ALL) or die "no packet socket: $!\n";
setsockopt $wire, $SOL_SOCKET, $SO_RCVBUFFORCE, 16 << 20 or die "no larger buffer: $!\n";

my %names;
sub name_of {
  my ($index) = @_;
  my $request = pack 'x16 i x20', $index;
  $names{$index} //= ioctl($wire, $SIOCGIFNAME, $request) ? unpack('Z16', $request) : "gone-$index";
  return $names{$index};
}

$| = 1;
print "{\"event\":\"open\"}\n";
while (1) {
  my $ready = '';
  vec($ready, fileno($_), 1) = 1 for \*STDIN, $wire;
  select $ready, undef, undef, undef;
  if (vec $ready, fileno(STDIN), 1) { sysread(STDIN, my $typed, 4096) or exit 0; }
  next unless vec $ready, fileno($wire), 1;
  my $from = recv $wire, my $frame, 65536, 0 or next;
  next if index($frame, $mark) < 0;
  my ($index, $way) = unpack 'x4 i x2 C', $from;
  my $said = '{"link":"%s","way":"%s","frame":"%s"}';
  printf "$said\n", name_of($index), $way == 4 ? 'out' : 'in', unpack 'H*', $frame;
}

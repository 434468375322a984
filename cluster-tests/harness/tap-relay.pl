#!/usr/bin/perl
# A guest with the network stack of a kernel: carries frames between an existing tap and a tap eth0 that it makes in
# the network namespace of the guest. It is a test instrument. perl-base only.
# Started in the tap's network namespace:  tap-relay.pl TAP PATH-OF-GUEST-NAMESPACE
# Prints a line once it carries frames; ends when its standard input does.
use strict;
use warnings;
use POSIX ();

my ($tap, $guest) = @ARGV;
die "usage: tap-relay.pl TAP PATH-OF-GUEST-NAMESPACE\n" unless defined $guest;
my ($TUNSETIFF, $IFF_TAP, $IFF_NO_PI, $CLONE_NEWNET) = (0x400454ca, 2, 0x1000, 0x40000000);
my $setns = (POSIX::uname())[4] eq 'aarch64' ? 268 : 308;

sub open_tap {
  my ($name) = @_;
  open my $wire, '+<', '/dev/net/tun' or die "cannot open /dev/net/tun: $!\n";
  ioctl $wire, $TUNSETIFF, pack('Z16 S x22', $name, $IFF_TAP | $IFF_NO_PI) or die "cannot open the tap $name: $!\n";
  return $wire;
}

my $outer = open_tap($tap);
open my $inside, '<', $guest or die "cannot open $guest: $!\n";
syscall($setns, fileno $inside, $CLONE_NEWNET) == 0 or die "cannot enter $guest: $!\n";
my $inner = open_tap('eth0');
syswrite STDOUT, "ready\n";
while (1) {
  my $ready = '';
  vec($ready, fileno($_), 1) = 1 for \*STDIN, $outer, $inner;
  select $ready, undef, undef, undef;
  if (vec $ready, fileno(STDIN), 1) { sysread(STDIN, my $bytes, 4096) or exit 0; }
  for my $way ([$outer, $inner], [$inner, $outer]) {
    next unless vec $ready, fileno($way->[0]), 1;
    sysread($way->[0], my $bytes, 70_000) // next;
    # A device that is down takes no frame.
    syswrite $way->[1], $bytes;
  }
}

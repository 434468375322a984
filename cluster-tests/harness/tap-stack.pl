#!/usr/bin/perl
# A guest with a kernel's network stack on an existing tap, without a virtual machine: opens the tap, makes a network
# namespace with an interface eth0 that has the MAC and address of the port, carries frames between the two, and runs a
# program in that namespace. Both end together. perl-base and ip only.
# Started by stack-guest.ts, in the tap's network namespace:
#   tap-stack.pl TAP MAC ADDRESS/PREFIX GATEWAY MTU PROGRAM [ARGUMENT...]
use strict;
use warnings;
use POSIX ();

my ($tap, $mac, $address, $gateway, $mtu, @program) = @ARGV;
die "usage: tap-stack.pl TAP MAC ADDRESS/PREFIX GATEWAY MTU PROGRAM...\n" unless @program;
my ($TUNSETIFF, $IFF_TAP, $IFF_NO_PI) = (0x400454ca, 2, 0x1000);
my $is_arm = (POSIX::uname())[4] eq 'aarch64';
my ($unshare, $prctl) = $is_arm ? (97, 167) : (272, 157);
my ($CLONE_NEWNET, $PR_SET_PDEATHSIG) = (0x40000000, 1);

sub open_tap {
  my ($name) = @_;
  open my $wire, '+<', '/dev/net/tun' or die "cannot open /dev/net/tun: $!\n";
  ioctl $wire, $TUNSETIFF, pack('Z16 S x22', $name, $IFF_TAP | $IFF_NO_PI) or die "cannot open the tap $name: $!\n";
  return $wire;
}
my $outside = open_tap($tap);
syscall($unshare, $CLONE_NEWNET) == 0 or die "cannot make a network namespace: $!\n";
my $inside = open_tap('eth0');
for my $command (
  'link set lo up', "link set eth0 address $mac mtu $mtu", 'link set eth0 up',
  "addr add $address dev eth0", "route add default via $gateway",
) {
  system('ip', split / /, $command) == 0 or die "ip $command failed\n";
}

my $parent = $$;
my $child = fork // die "cannot fork: $!\n";
if ($child == 0) {
  syscall $prctl, $PR_SET_PDEATHSIG, 9, 0, 0, 0;
  POSIX::_exit(0) if getppid != $parent;
  my ($out, $in) = (fileno $outside, fileno $inside);
  while (1) {
    my $ready = '';
    vec($ready, $out, 1) = vec($ready, $in, 1) = 1;
    next if select($ready, undef, undef, undef) < 1;
    # A full queue drops the frame, as a wire does.
    carry($outside, $inside) if vec $ready, $out, 1;
    carry($inside, $outside) if vec $ready, $in, 1;
  }
}
sub carry {
  my ($from, $to) = @_;
  sysread $from, my $frame, 65_536 or return;
  syswrite $to, $frame;
}

exec @program or die "cannot run $program[0]: $!\n";

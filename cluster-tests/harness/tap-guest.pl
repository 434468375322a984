#!/usr/bin/perl
# A guest without a virtual machine: opens an existing tap and speaks ARP, ICMP echo and DHCP on it, sends frames given
# in hex and shows what it receives. Commands come as one flat JSON object a line on stdin, answers and events leave as
# one a line on stdout. It is a test instrument: it does what it is told, also what a decent guest would not. perl-base
# only.
# Started by tap-guest.ts, in the tap's network namespace:  tap-guest.pl TAP MAC
use strict;
use warnings;
use POSIX ();

my ($tap, $mac_text) = @ARGV;
die "usage: tap-guest.pl TAP MAC\n" unless defined $mac_text;
my $mac = pack 'H12', $mac_text =~ tr/://dr;
my $broadcast = "\xff" x 6;
my ($TUNSETIFF, $IFF_TAP, $IFF_NO_PI) = (0x400454ca, 2, 0x1000);
open my $wire, '+<', '/dev/net/tun' or die "cannot open /dev/net/tun: $!\n";
ioctl $wire, $TUNSETIFF, pack('Z16 S x22', $tap, $IFF_TAP | $IFF_NO_PI) or die "cannot open the tap $tap: $!\n";

my %self = (address => undef, prefix => 24, gateway => undef, answer => 1, sniff => 0);
my %neighbour;    # address (4 bytes) -> MAC (6 bytes)
my @tasks;        # {id, kind, until, next, ...}; each ends in exactly one answer
# clock_gettime(CLOCK_MONOTONIC): perl-base has no Time::HiRes.
my $clock_call = (POSIX::uname())[4] eq 'aarch64' ? 113 : 228;

sub now {
  my $time = "\0" x 16;
  syscall $clock_call, 1, $time;
  my ($seconds, $nanoseconds) = unpack 'qq', $time;
  return $seconds * 1000 + $nanoseconds / 1e6;
}
my $number = now() & 0xffff;
sub ip { pack 'C4', split /\./, $_[0] }
sub text { join '.', unpack 'C4', $_[0] }
sub mac_of { join ':', unpack '(H2)6', $_[0] }

# Numbers and lists pass as they are, everything else is a string; a reference to a string stays one of digits only.
sub json {
  my ($value) = @_;
  return 'null' unless defined $value;
  return "\"$$value\"" if ref $value eq 'SCALAR';
  return '[' . join(',', map { json($_) } @$value) . ']' if ref $value eq 'ARRAY';
  return '{' . join(',', map { json("$_") . ':' . json($value->{$_}) } sort keys %$value) . '}' if ref $value eq 'HASH';
  return $value if $value =~ /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/;
  $value =~ s/([^ !#-\[\]-~])/sprintf '\\u%04x', ord $1/ge;
  return "\"$value\"";
}
sub say_line { syswrite STDOUT, json($_[0]) . "\n" }
sub answer { my ($task, %fields) = @_; say_line({ id => $task->{id}, ok => 1, %fields }); }
sub refuse { my ($id, $why) = @_; say_line({ id => $id, ok => 0, error => $why }); }

sub parse {
  my ($line) = @_;
  my %fields;
  while ($line =~ /"(\w+)"\s*:\s*(?:"([^"\\]*)"|(-?[\d.]+)|(true|false))/g) {
    $fields{$1} = defined $2 ? $2 : defined $3 ? $3 : $4 eq 'true' ? 1 : 0;
  }
  return \%fields;
}

sub sum {
  my ($bytes) = @_;
  my $total = unpack '%32n*', length($bytes) % 2 ? "$bytes\0" : $bytes;
  $total = ($total & 0xffff) + ($total >> 16) for 1 .. 2;
  return ~$total & 0xffff;
}
sub frame { my ($to, $type, $body) = @_; syswrite $wire, $to . $mac . pack('n', $type) . $body; }
sub packet {
  my ($protocol, $from, $to, $body) = @_;
  my $head = pack 'CCnnnCCn a4 a4', 0x45, 0, 20 + length $body, $number++ & 0xffff, 0, 64, $protocol, 0, $from, $to;
  substr $head, 10, 2, pack 'n', sum($head);
  return $head . $body;
}
sub ask_arp {
  my ($for) = @_;
  my $own = $self{address} // "\0" x 4;
  frame($broadcast, 0x806, pack('nnCCn', 1, 0x800, 6, 4, 1) . $mac . $own . "\0" x 6 . $for);
}

sub hop {
  my ($to) = @_;
  my $mask = ~0 << (32 - $self{prefix}) & 0xffffffff;
  return $to if !defined $self{gateway} || ((unpack('N', $to) ^ unpack('N', $self{address})) & $mask) == 0;
  return $self{gateway};
}

# --- ping: one echo per interval; an answer is matched by its identifier and sequence number
sub ping_step {
  my ($task) = @_;
  my $to = $task->{to};
  my $hop = hop($to);
  if (!exists $neighbour{$hop}) {
    ask_arp($hop);
    $task->{next} = now() + 100;
    return;
  }
  if ($task->{sent} < $task->{count}) {
    my $sequence = ++$task->{sent};
    my $echo = pack 'CCnnn a*', 8, 0, 0, $task->{number}, $sequence, 'photon' x 8;
    substr $echo, 2, 2, pack 'n', sum($echo);
    $task->{at}{$sequence} = now();
    frame($neighbour{$hop}, 0x800, packet(1, $self{address}, $to, $echo));
    $task->{next} = now() + $task->{interval};
  }
  $task->{next} = $task->{until} if $task->{sent} >= $task->{count};
}
sub ping_end {
  my ($task) = @_;
  answer($task, sent => $task->{sent}, received => scalar @{ $task->{trips} }, roundTripsMs => $task->{trips},
    resolved => exists $neighbour{ hop($task->{to}) } ? 1 : 0);
}

# --- DHCP: DISCOVER, OFFER, REQUEST, ACK; sent again every second. With "renew" a REQUEST for the address that it has,
# to the gateway. "clientId" is the client identifier in hex, by default the MAC.
sub option { my ($code, $value) = @_; return pack 'CC/a', $code, $value; }
sub dhcp_send {
  my ($task, $type, @more) = @_;
  my $own = $task->{renew} ? $self{address} : "\0" x 4;
  my @head = (1, 1, 6, 0, $task->{number}, 0, 0x8000, $own, $mac . "\0" x 10, 0x63825363);
  my $body = pack 'CCCCNnn a4 x12 a16 x64 x128 N', @head;
  my @wanted = (1, 3, 6, 12, 15, 26, 28, 42, 51, 54, 58, 59, 119, 121);
  my $client = length $task->{client} ? pack 'H*', $task->{client} : "\1$mac";
  $body .= option(53, chr $type) . option(61, $client) . option(55, pack 'C*', @wanted);
  $body .= option(12, $task->{hostname}) if length $task->{hostname};
  $body .= join('', @more) . "\xff";
  my $datagram = pack('nnnn', 68, 67, 8 + length $body, 0) . $body;
  frame($broadcast, 0x800, packet(17, $own, $task->{renew} ? $self{gateway} : "\xff" x 4, $datagram));
}
sub dhcp_step {
  my ($task) = @_;
  if ($task->{renew}) { dhcp_send($task, 3); }
  elsif ($task->{offer}) { dhcp_send($task, 3, option(50, $task->{offer}{yours}), option(54, $task->{offer}{54})); }
  else { dhcp_send($task, 1); }
  $task->{next} = now() + 1000;
}
sub dhcp_input {
  my ($body) = @_;
  return if length $body < 240;
  my ($xid, $yours) = unpack 'x4 N x8 a4', $body;
  my ($task) = grep { $_->{kind} eq 'dhcp' && $_->{number} == $xid } @tasks or return;
  my %options = (yours => $yours, all => substr $body, 240);
  my $at = 240;
  while ($at < length $body) {
    my $code = ord substr $body, $at, 1;
    last if $code == 255;
    if ($code == 0) { $at++; next; }
    my $size = ord substr $body, $at + 1, 1;
    $options{$code} = substr $body, $at + 2, $size;
    $at += 2 + $size;
  }
  my $type = ord($options{53} // "\0");
  if ($type == 2 && !$task->{offer}) { $task->{offer} = \%options; $task->{next} = 0; }
  elsif ($type == 5) { dhcp_end($task, \%options); }
  elsif ($type == 6) { finish($task); refuse($task->{id}, 'nak'); }
}
# Domain names as DNS writes them, each with its labels or an offset to labels before (RFC 3397).
sub domains {
  my ($bytes) = @_;
  my (@names, $next);
  for (my $at = 0; $at < length($bytes // ''); $at = $next) {
    my ($place, @labels) = ($at);
    $next = undef;
    while (my $size = ord substr $bytes, $place, 1) {
      if ($size >= 192) {
        $next //= $place + 2;
        $place = unpack('n', substr $bytes, $place, 2) & 0x3fff;
      } else {
        push @labels, substr $bytes, $place + 1, $size;
        $place += 1 + $size;
      }
    }
    $next //= $place + 1;
    push @names, join '.', @labels;
  }
  return \@names;
}
# Classless routes (RFC 3442): prefix length, as many bytes of the destination as it needs, next hop.
sub routes {
  my ($bytes) = @_;
  my @routes;
  for (my $at = 0; $at < length($bytes // ''); ) {
    my $prefix = ord substr $bytes, $at, 1;
    my $size = int(($prefix + 7) / 8);
    my $destination = substr($bytes, $at + 1, $size) . "\0" x (4 - $size);
    push @routes, text($destination) . "/$prefix " . text(substr $bytes, $at + 1 + $size, 4);
    $at += 5 + $size;
  }
  return \@routes;
}
sub dhcp_end {
  my ($task, $got) = @_;
  finish($task);
  my $addresses = sub { my $bytes = shift // ''; [map { text($_) } unpack '(a4)*', $bytes] };
  my $mask = unpack 'N', $got->{1} // "\xff\xff\xff\0";
  my $router = defined $got->{3} ? substr $got->{3}, 0, 4 : undef;
  @self{qw(address prefix gateway)} = ($got->{yours}, unpack('%32b*', pack 'N', $mask), $router) if $task->{adopt};
  answer($task, address => text($got->{yours}), mask => text(pack 'N', $mask), router => $addresses->($got->{3})->[0],
    mtu => defined $got->{26} ? unpack('n', $got->{26}) : undef,
    leaseSeconds => defined $got->{51} ? unpack('N', $got->{51}) : undef,
    server => defined $got->{54} ? text($got->{54}) : undef, dns => $addresses->($got->{6}), hostname => $got->{12},
    domain => $got->{15}, search => domains($got->{119}), ntp => $addresses->($got->{42}),
    routes => routes($got->{121}), options => \unpack('H*', $got->{all}));
}

my %steps = (
  ping => \&ping_step,
  dhcp => \&dhcp_step,
  arp => sub { my ($task) = @_; ask_arp($task->{to}); $task->{next} = now() + 200; },
);
my %ends = (
  ping => \&ping_end,
  dhcp => sub { refuse($_[0]{id}, $_[0]{offer} ? 'offered, but no ack in time' : 'no offer in time') },
  arp => sub { refuse($_[0]{id}, 'no answer in time') },
);
sub finish { my ($task) = @_; @tasks = grep { $_ != $task } @tasks; }

sub command {
  my ($line) = @_;
  my $ask = parse($line);
  my ($id, $do) = ($ask->{id} // 0, $ask->{do} // '');
  if ($do eq 'configure') {
    $self{$_} = ip($ask->{$_}) for grep { defined $ask->{$_} } qw(address gateway);
    $self{$_} = $ask->{$_} for grep { defined $ask->{$_} } qw(prefix answer sniff);
    return answer({ id => $id });
  }
  if ($do eq 'send') {
    my $bytes = pack 'H*', $ask->{frame} // '';
    my $wrote = syswrite $wire, $bytes;
    return defined $wrote ? answer({ id => $id }, bytes => $wrote) : refuse($id, "send: $!");
  }
  if ($do eq 'flood') {
    my ($times, $sent, @all) = ($ask->{times} // 1, 0, map { pack 'H*', $_ } split /,/, $ask->{frames} // '');
    for my $bytes ((@all) x $times) { $sent++ if defined syswrite $wire, $bytes; }
    return answer({ id => $id }, sent => $sent);
  }
  return refuse($id, "unknown command $do") unless $steps{$do};
  return refuse($id, 'no address yet: configure one or do dhcp first') if $do eq 'ping' && !defined $self{address};
  return refuse($id, 'no address to renew') if $ask->{renew} && !defined $self{gateway};
  $number = ($number + 1) & 0xffff;
  my $task = { id => $id, kind => $do, number => $number, next => 0, until => now() + ($ask->{timeoutMs} // 5000) };
  $task->{to} = ip($ask->{to}) if defined $ask->{to};
  my @pings = ($ask->{count} // 1, $ask->{intervalMs} // 100, 0, [], {});
  @$task{qw(count interval sent trips at)} = @pings if $do eq 'ping';
  @$task{qw(hostname adopt)} = ($ask->{hostname} // '', $ask->{adopt} // 1) if $do eq 'dhcp';
  @$task{qw(client renew)} = ($ask->{clientId} // '', $ask->{renew} // 0) if $do eq 'dhcp';
  push @tasks, $task;
}

sub arp_input {
  my ($body) = @_;
  return if length $body < 28;
  my ($operation, $from_mac, $from, $to) = unpack 'x6 n a6 a4 x6 a4', $body;
  $neighbour{$from} = $from_mac if $from ne "\0" x 4;
  if ($operation == 1 && $self{answer} && defined $self{address} && $to eq $self{address}) {
    frame($from_mac, 0x806, pack('nnCCn', 1, 0x800, 6, 4, 2) . $mac . $self{address} . $from_mac . $from);
  }
  if ($operation == 2) {
    $_->{next} = 0 for grep { $_->{kind} eq 'ping' && $_->{sent} == 0 } @tasks;
    for my $task (grep { $_->{kind} eq 'arp' && $_->{to} eq $from } @tasks) {
      finish($task);
      answer($task, mac => mac_of($from_mac));
    }
  }
}
sub ip_input {
  my ($from_mac, $body) = @_;
  return if length $body < 20;
  my ($first, $length, $protocol, $from, $to) = unpack 'C x n x5 C x2 a4 a4', $body;
  my $load = substr $body, ($first & 15) * 4, $length - ($first & 15) * 4;
  return dhcp_input(substr $load, 8) if $protocol == 17 && length $load > 8 && unpack('x2 n', $load) == 68;
  return unless $protocol == 1 && length $load >= 8 && defined $self{address} && $to eq $self{address};
  my ($type, $code, undef, $identity, $sequence) = unpack 'CCnnn', $load;
  if ($type == 8 && $self{answer}) {
    my $echo = pack('CCn', 0, 0, 0) . substr $load, 4;
    substr $echo, 2, 2, pack 'n', sum($echo);
    frame($from_mac, 0x800, packet(1, $to, $from, $echo));
  }
  return unless $type == 0;
  for my $task (grep { $_->{kind} eq 'ping' && $_->{number} == $identity } @tasks) {
    my $at = delete $task->{at}{$sequence} // next;
    push @{ $task->{trips} }, sprintf('%.3f', now() - $at) + 0;
    if (@{ $task->{trips} } == $task->{count}) { finish($task); ping_end($task); }
  }
}
sub wire_input {
  my ($bytes) = @_;
  return if length $bytes < 14;
  say_line({ event => 'frame', frame => \unpack('H*', $bytes) }) if $self{sniff};
  my ($to, $from, $type) = unpack 'a6 a6 n', $bytes;
  return unless $to eq $mac || ord($to) & 1;
  my $body = substr $bytes, 14;
  arp_input($body) if $type == 0x806;
  ip_input($from, $body) if $type == 0x800;
}

say_line({ event => 'open', tap => $tap });
my $typed = '';
while (1) {
  my $soonest = 10_000;
  for my $task (@tasks) {
    my $left = ($task->{next} < $task->{until} ? $task->{next} : $task->{until}) - now();
    $soonest = $left if $left < $soonest;
  }
  my $ready = '';
  vec($ready, fileno($_), 1) = 1 for \*STDIN, $wire;
  select $ready, undef, undef, $soonest > 0 ? $soonest / 1000 : 0;
  if (vec $ready, fileno(STDIN), 1) {
    sysread(STDIN, $typed, 65536, length $typed) or exit 0;
    command($1) while $typed =~ s/^(.*)\n//;
  }
  if (vec $ready, fileno($wire), 1) {
    sysread($wire, my $bytes, 65536) // exit 0;
    wire_input($bytes);
  }
  for my $task (my @current = @tasks) {
    if (now() >= $task->{until}) { finish($task); $ends{ $task->{kind} }->($task); }
    elsif (now() >= $task->{next}) { $steps{ $task->{kind} }->($task); }
  }
}

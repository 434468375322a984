# IPv4 addresses, CIDRs and MACs in plain Nix: what machines/values/addresses.ts decides, decided again where options
# are evaluated. Both are held to nix/address-vectors.json, texts included. Needs nothing but builtins.
# An address is an integer; a CIDR is { base; prefix; } without host bits. Problems are texts, or null.
let
  inherit (builtins) bitAnd elemAt filter fromJSON head isNull isString length match split stringLength substring;

  splitOn = separator: text: filter isString (split separator text);
  octet = text: if match "0|[1-9][0-9]{0,2}" text == null || fromJSON text > 255 then null else fromJSON text;
  power = exponent: if exponent == 0 then 1 else 2 * power (exponent - 1);
  firstOr = fallback: list: if list == [ ] then fallback else head list;
  quoted = text: builtins.toJSON (substring 0 40 text);
  hasColon = text: length (splitOn ":" text) > 1;
  startsWith = prefix: text: substring 0 (stringLength prefix) text == prefix;

  special = map ({ range, why }: { inherit range why; cidr = parseCidr range; }) [
    { range = "0.0.0.0/8"; why = "means this host"; }
    { range = "127.0.0.0/8"; why = "is loopback"; }
    { range = "169.254.0.0/16"; why = "is link local"; }
    { range = "224.0.0.0/3"; why = "is multicast or reserved"; }
  ];

  ownMacs = [ "02:50:" "02:00:5e:" "02:00:5f:" ];
  hexDigits = builtins.listToAttrs (builtins.genList
    (value: { name = substring value 1 "0123456789abcdef"; inherit value; }) 16);

  minPrefix = 8;
  maxPrefix = 28;
  # Network, gateway, two held for services and one spare.
  reservedHead = 5;

  parseAddress = text:
    let octets = map octet (splitOn "[.]" text);
    in if length octets != 4 || builtins.any isNull octets then null
    else builtins.foldl' (value: one: value * 256 + one) 0 octets;

  formatAddress = value:
    let byte = divisor: toString (bitAnd (value / divisor) 255);
    in "${byte 16777216}.${byte 65536}.${byte 256}.${byte 1}";

  parseCidr = text:
    let
      parts = splitOn "/" text;
      base = parseAddress (elemAt parts 0);
      prefix = fromJSON (elemAt parts 1);
      size = power (32 - prefix);
    in
    if length parts != 2 || match "[0-9]|[12][0-9]|3[0-2]" (elemAt parts 1) == null || base == null then null
    else { base = base / size * size; inherit prefix; };

  sizeOf = cidr: power (32 - cidr.prefix);
  lastOf = cidr: cidr.base + sizeOf cidr - 1;
  contains = cidr: address: address >= cidr.base && address <= lastOf cidr;
  overlap = one: other: one.base <= lastOf other && other.base <= lastOf one;
  isReserved = cidr: address: address < cidr.base + reservedHead || address == lastOf cidr;
  defaultGateway = cidr: formatAddress (cidr.base + 1);

  # Why a text is no CIDR in its one canonical form.
  canonicalProblem = text:
    let
      cidr = parseCidr text;
      exact = "${formatAddress cidr.base}/${toString cidr.prefix}";
    in
    if cidr == null && hasColon text then "${quoted text} is IPv6, and only IPv4 is built: write 10.0.0.0/24"
    else if cidr == null then "${quoted text} is not a CIDR such as 10.0.0.0/24"
    else if exact != text then "${text} has host bits set; did you mean ${exact}?"
    else null;

  # Why nobody may declare this CIDR with a prefix of 8 to `longest`.
  cidrProblem = longest: text:
    let
      wrong = canonicalProblem text;
      cidr = parseCidr text;
      clash = firstOr null (filter (one: overlap one.cidr cidr) special);
    in
    if wrong != null then wrong
    else if cidr.prefix < minPrefix || cidr.prefix > longest then
      "${text} has a prefix of ${toString cidr.prefix}; it must be ${toString minPrefix} to ${toString longest}"
    else if clash != null then "${text} overlaps ${clash.range}, which ${clash.why}"
    else null;

  # Why a tenant may not declare this MAC.
  macProblem = mac:
    let
      first = hexDigits.${substring 1 1 mac};
      own = firstOr null (filter (prefix: startsWith prefix mac) ownMacs);
    in
    if match "[0-9a-f]{2}(:[0-9a-f]{2}){5}" mac == null then
      "${quoted mac} is not a MAC in lower case such as 02:11:22:33:44:55"
    else if bitAnd first 1 != 0 then "${mac} is a multicast address"
    else if bitAnd first 2 == 0 then "${mac} is not locally administered: its second digit must be 2, 6, a or e"
    else if own != null then
      "${mac} starts with ${substring 0 (stringLength own - 1) own}, which is reserved for the cloud"
    else null;
in
{
  inherit canonicalProblem cidrProblem contains defaultGateway formatAddress isReserved lastOf macProblem maxPrefix
    minPrefix overlap parseAddress parseCidr reservedHead;
}

# Test double: the option types that nix/modules uses. A type says which values it takes, and makes one value of many
# definitions, each discharged of conditions and priorities. Stricter and shorter than nixpkgs'; messages differ.
{ lib, evaluate, merged }:
let
  inherit (lib) all concatMap elem filter head length optional unique;
  show = loc: lib.concatStringsSep "." loc;

  make = name: attributes: {
    _type = "option-type";
    description = name;
    inherit name;
    getSubOptions = _: { };
  } // attributes;

  # All definitions of a scalar must agree.
  scalar = description: check: make description {
    inherit check;
    merge = loc: values:
      if all (value: value == head values) values then head values
      else throw "The option `${show loc}' has conflicting definitions.";
  };
  quoted = value: if builtins.isString value then ''"${value}"'' else builtins.toJSON value;
in
rec {
  str = scalar "string" builtins.isString;
  bool = scalar "boolean" builtins.isBool;
  int = scalar "signed integer" builtins.isInt;
  package = scalar "package" (value: lib.isDerivation value || builtins.isPath value);
  path = scalar "absolute path" (value: builtins.isPath value || lib.hasPrefix "/" "${value}");
  raw = scalar "raw value" (_: true);
  anything = make "anything" {
    check = _: true;
    merge = loc: values: if length values == 1 then head values else (attrsOf anything).merge loc values;
  };
  port = described "16 bit unsigned integer; between 0 and 65535 (both inclusive)" (ints.between 0 65535);
  ints = {
    between = low: high:
      scalar "integer between ${toString low} and ${toString high} (both inclusive)"
        (value: builtins.isInt value && value >= low && value <= high);
    positive = scalar "positive integer, meaning >0" (value: builtins.isInt value && value > 0);
  };
  enum = values: scalar "one of ${lib.concatMapStringsSep ", " quoted values}" (value: elem value values);
  strMatching = pattern:
    scalar "string matching the pattern ${pattern}"
      (value: builtins.isString value && builtins.match pattern value != null);
  addCheck = type: check: type // { check = value: type.check value && check value; };
  described = description: type: type // { inherit description; };

  nullOr = type: make "null or ${type.description}" {
    check = value: value == null || type.check value;
    merge = loc: values:
      if all (value: value == null) values then null
      else if elem null values then throw "The option `${show loc}' is defined both null and not null."
      else type.merge loc values;
    inherit (type) getSubOptions;
  };
  either = one: other: make "${one.description} or ${other.description}" {
    check = value: one.check value || other.check value;
    merge = loc: values: (if all one.check values then one else other).merge loc values;
    getSubOptions = loc: one.getSubOptions loc // other.getSubOptions loc;
  };
  listOf = type: make "list of ${type.description}" {
    check = builtins.isList;
    merge = loc: values:
      lib.imap0 (at: value: merged (loc ++ [ "[${toString at}]" ]) type [ value ]) (lib.concatLists values);
    getSubOptions = loc: type.getSubOptions (loc ++ [ "*" ]);
  };
  attrsOf = type: make "attribute set of ${type.description}" {
    check = builtins.isAttrs;
    merge = loc: values:
      let
        names = unique (concatMap builtins.attrNames values);
        defined = name: concatMap (value: optional (value ? ${name}) value.${name}) values;
        present = filter (name: lib.discharge (defined name) != [ ]) names;
      in
      lib.genAttrs present (name: merged (loc ++ [ name ]) type (defined name));
    getSubOptions = loc: type.getSubOptions (loc ++ [ "<name>" ]);
  };
  submodule = module: make "submodule" {
    check = value: builtins.isAttrs value || builtins.isFunction value;
    merge = loc: values: (evaluate { modules = [ module ] ++ values; prefix = loc; name = lib.last loc; }).config;
    getSubOptions = loc: (evaluate { modules = [ module ]; prefix = loc; name = "<name>"; }).options;
  };
}

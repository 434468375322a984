# Options from docs/document.schema.json, the published schema of what `photon apply` takes: types, defaults and
# descriptions of every field come from there, so that what Nix accepts cannot drift from what the API accepts. The
# other direction, from option values to documents, is here, too. Says nothing of relations between fields: those are
# assertions (tenant-assertions.nix).
{ lib }:
let
  inherit (builtins) elem filter head isList length listToAttrs;
  inherit (lib) concatStringsSep mkOption removePrefix removeSuffix types;

  published = builtins.fromJSON (builtins.readFile ../../docs/document.schema.json);
  words = import ./document-words.nix;

  resolved = schema:
    if schema ? "$ref" then
      published."$defs".${removePrefix "#/$defs/" schema."$ref"} // removeAttrs schema [ "$ref" ]
    else schema;

  # Alternatives of a field, flat: a type that is a list, and alternatives of alternatives, are alternatives.
  alternativesOf = schema:
    if schema ? anyOf then lib.concatMap alternativesOf schema.anyOf
    else if isList (schema.type or null) then map (type: schema // { inherit type; }) schema.type
    else [ (resolved schema) ];
  isNull = one: (one.type or null) == "null";
  isObject = one: one ? properties;
  isNullable = schema: lib.any isNull (alternativesOf schema);
  # A field that may only be null is there for later.
  isOffered = schema: !(lib.all isNull (alternativesOf schema));
  propertiesOf = schema: lib.filterAttrs (_: isOffered) schema.properties;

  # Patterns are those of JavaScript; Nix has POSIX ones, anchored by themselves.
  posix = pattern:
    builtins.replaceStrings
      [ "(?:" "\\/" "\\x20-\\x7e" "[^\\0\\n\\r]" "@openssh\\.com" ]
      [ "(" "/" " -~" "[^\n\r]" "@openssh[.]com" ]
      (removePrefix "^" (removeSuffix "$" pattern));
  patternWords = {
    "^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$" = "name";
    "^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$" = "MAC";
  };
  wordOf = schema:
    if (schema.format or null) == "ipv4" then "IPv4 address" else patternWords.${schema.pattern or ""} or null;
  described = word: type: if word == null then type else type // { description = word; };

  stringType = schema:
    let plain = if schema ? pattern then types.strMatching (posix schema.pattern) else types.str;
    in described (wordOf schema) (if schema ? maxLength then
      types.addCheck plain (text: builtins.stringLength text <= schema.maxLength)
    else plain);

  listType = path: schema:
    let
      fits = list: length list >= (schema.minItems or 0) && length list <= (schema.maxItems or 100000);
      type = types.listOf (typeOf path schema.items);
    in
    if schema ? minItems || schema ? maxItems then types.addCheck type fits else type;

  # Alternatives that are objects become one submodule, whose fields exclude each other (an assertion says so).
  unionOf = objects: {
    properties = lib.foldl' (all: one: all // one.properties) { } objects;
    required = [ ];
  };

  typeOf = path: schema:
    let
      kinds = filter (one: !isNull one) (alternativesOf schema);
      objects = filter isObject kinds;
      merged = filter (one: !isObject one) kinds
        ++ (if length objects > 1 then [ (unionOf objects) ] else objects);
      one = lib.foldl' (type: other: types.either type (simpleTypeOf path other))
        (simpleTypeOf path (head merged)) (lib.tail merged);
    in
    if isNullable schema then types.nullOr one else one;

  simpleTypeOf = path: schema:
    if schema ? const then types.enum [ schema.const ]
    else if schema ? enum then types.enum schema.enum
    else if isObject schema then types.submodule { options = optionsOf path schema; }
    else {
      string = stringType schema;
      integer = types.ints.between (schema.minimum or 0) (schema.maximum or 9007199254740991);
      boolean = types.bool;
      array = listType path schema;
      object = types.attrsOf (typeOf path schema.additionalProperties);
    }.${schema.type};

  # For fields that nobody gave an example.
  exampleOf = path: schema:
    let
      first = head (filter (one: !isNull one) (alternativesOf schema));
    in
    if first ? const then first.const
    else if first ? enum then lib.last first.enum
    else if isObject first then
      listToAttrs (map (name: { inherit name; value = exampleFor (path ++ [ name ]) first.properties.${name}; })
        (first.required or [ ]))
    else {
      string = if wordOf first == "IPv4 address" then "10.20.0.10" else "web";
      integer = first.default or first.minimum or 1;
      boolean = !(schema.default or false);
      array = [ (exampleFor path first.items) ];
      object = { };
    }.${first.type};
  # An example by the field's name alone must be a value of this field.
  exampleFor = path: schema:
    let named = words.examples.${lib.last path} or null;
    in words.examples.${concatStringsSep "." path} or
      (if named != null && (typeOf path schema).check named then named else exampleOf path schema);

  optionsOf = path: schema: builtins.mapAttrs (optionOf path (schema.required or [ ])) (propertiesOf schema);

  optionOf = path: required: name: given:
    let
      schema = resolved given;
      here = path ++ [ name ];
      isAbsent = !(schema ? default) && !(elem name required);
      type = typeOf here schema;
    in
    mkOption ({
      type = if isAbsent && !isNullable schema then types.nullOr type else type;
      description = schema.description or
        (words.descriptions.${concatStringsSep "." here} or (words.descriptions.${name} or
          "Field ${concatStringsSep "." here}; the reference of the kind explains it."));
      example = exampleFor here schema;
    } // lib.optionalAttrs (!(elem name required)) { default = schema.default or null; });

  # A value of the options as the document has it. Null stays where the schema knows null; elsewhere it means absent.
  valueOf = schema: value:
    let
      fitting = filter (one: !isNull one) (alternativesOf schema);
      objects = filter isObject fitting;
      fields = (unionOf objects).properties;
      isUnion = length objects > 1;
      kept = name: one: value.${name} or null != null || (!isUnion && isNullable one);
    in
    if value == null then null
    else if isList value then map (valueOf (head fitting).items) value
    else if builtins.isAttrs value && objects != [ ] then
      builtins.mapAttrs (name: one: valueOf (resolved one) value.${name})
        (lib.filterAttrs kept (lib.filterAttrs (_: isOffered) fields))
    else value;

  kindOf = document:
    let kind = document.properties.kind.const;
    in {
      inherit kind;
      isOfSystem = (document.properties.tenant.const or null) == "system";
      isTenant = !(document.properties ? tenant);
      namePattern = posix document.properties.name.pattern;
      spec = resolved document.properties.spec;
      example = exampleOf [ kind ] (resolved document.properties.spec);
      options = optionsOf [ kind ] (resolved document.properties.spec)
        // builtins.mapAttrs (optionOf [ kind ] [ ]) { inherit (document.properties) labels protect; };
    };
in
{
  inherit posix;

  # In the order in which objects are made.
  kinds = map kindOf published."$defs".PhotonDocument.oneOf;

  # One document of `kind` (an element of `kinds`); `tenant` is null for objects that have none.
  documentOf = kind: tenant: name: value:
    { apiVersion = "photon.v1"; inherit (kind) kind; inherit name; inherit (value) labels protect;
      spec = valueOf kind.spec value; }
    // lib.optionalAttrs (tenant != null) { inherit tenant; };
}

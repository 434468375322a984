# Test double of the module system of nixpkgs, as far as nix/modules needs it: imports, options, mkIf, mkMerge,
# priorities, submodules, unknown options and wrong types with their path. It can accept what NixOS refuses: it shows
# that our own options, assertions and units are as meant, never that NixOS takes them.
let
  lists = import ./lists.nix;
  inherit (lists) concatLists concatMap filter foldl' head length optional unique;

  isIf = value: (value._type or null) == "if";
  isMerge = value: (value._type or null) == "merge";
  isOverride = value: (value._type or null) == "override";
  isOption = value: (value._type or null) == "option";
  show = loc: lists.concatStringsSep "." loc;

  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };

  # { value; priority; } of every definition that counts.
  weighed = priority: definition:
    if isIf definition then (if definition.condition then weighed priority definition.content else [ ])
    else if isMerge definition then concatMap (weighed priority) definition.contents
    else if isOverride definition then weighed definition.priority definition.content
    else [ { inherit priority; value = definition; } ];
  discharge = definitions:
    let
      all = concatMap (weighed 100) definitions;
      strongest = foldl' (least: one: if one.priority < least then one.priority else least) 1500 all;
    in
    map (one: one.value) (filter (one: one.priority == strongest) all);

  # Definitions of one attribute, with the conditions that stand around it: conditions are not looked at yet.
  within = name: definition:
    if isIf definition then map (mkIf definition.condition) (within name definition.content)
    else if isMerge definition then concatMap (within name) definition.contents
    else if isOverride definition then map (mkOverride definition.priority) (within name definition.content)
    else optional (definition ? ${name}) definition.${name};
  namesIn = definition:
    if isIf definition then namesIn definition.content
    else if isMerge definition then concatMap namesIn definition.contents
    else if isOverride definition then namesIn definition.content
    else builtins.attrNames definition;

  merged = loc: type: definitions:
    let
      values = discharge definitions;
      wrong = filter (value: !(type.check value)) values;
    in
    if wrong != [ ] then
      throw "A definition for option `${show loc}' is not of type `${type.description}'."
    else type.merge loc values;

  valueOf = loc: option: definitions:
    let
      all = definitions ++ optional (option ? default) (mkOverride 1500 option.default);
      value = merged loc option.type all;
    in
    if (option.readOnly or false) && length (discharge definitions) > 1 then
      throw "The option `${show loc}' is read-only, but it is set several times."
    else if discharge all == [ ] then throw "The option `${show loc}' was accessed but has no value defined."
    else if option ? apply then option.apply value
    else value;

  # Trees of options of several modules in one.
  joined = loc: trees:
    if length trees == 1 && isOption (head trees) then head trees // { inherit loc; }
    else if lists.any isOption trees then throw "The option `${show loc}' is declared twice."
    else lists.genAttrs (unique (concatMap builtins.attrNames trees))
      (name: joined (loc ++ [ name ]) (concatMap (tree: optional (tree ? ${name}) tree.${name}) trees));

  configOf = loc: tree: definitions:
    let
      named = unique (concatMap namesIn definitions);
      unknown = filter
        (name: !(tree ? ${name}) && discharge (concatMap (within name) definitions) != [ ]) named;
      one = name: option:
        let own = concatMap (within name) definitions; here = loc ++ [ name ];
        in if isOption option then valueOf here option own else configOf here option own;
    in
    builtins.mapAttrs (name: value:
      if unknown == [ ] then value else throw "The option `${show (loc ++ [ (head unknown) ])}' does not exist.")
      (builtins.mapAttrs one (removeAttrs tree [ "_type" ]));

  # Modules with everything they import, each file once.
  loaded = arguments: seen: modules: foldl'
    (state: module:
      let
        key = if builtins.isPath module || builtins.isString module then toString module else null;
        value = if key != null then import module else module;
        called = if builtins.isFunction value then value (arguments // lists.optionalAttrs (!(arguments ? pkgs)) {
          pkgs = throw "pkgs is not known where only options are evaluated";
        }) else value;
        inner = loaded arguments (state.seen ++ optional (key != null) key) (called.imports or [ ]);
      in
      if key != null && builtins.elem key state.seen then state
      else { modules = state.modules ++ inner.modules ++ [ called ]; inherit (inner) seen; })
    { modules = [ ]; inherit seen; }
    modules;

  definitionOf = module:
    if module ? config || module ? options then module.config or { }
    else removeAttrs module [ "imports" "key" "_file" ];

  evaluate = { modules, prefix ? [ ], specialArgs ? { }, name ? null }:
    let
      arguments = { inherit lib config options; }
        // lists.optionalAttrs (name != null) { inherit name; } // specialArgs;
      all = (loaded arguments [ ] modules).modules;
      options = joined prefix (map (module: module.options or { }) all ++ [ { } { } ]);
      config = configOf prefix options (map definitionOf all);
    in
    { inherit config options; };

  types = import ./option-types.nix { lib = lists // { inherit discharge; }; inherit evaluate merged; };

  lib = lists // {
    inherit mkIf mkMerge mkOverride types isOption;
    mkForce = mkOverride 50;
    mkDefault = mkOverride 1000;
    mkOption = option: option // { _type = "option"; };
    mkEnableOption = what: lib.mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether to enable ${what}.";
    };
    literalExpression = text: { _type = "literalExpression"; inherit text; };
    evalModules = { modules, specialArgs ? { } }: evaluate { inherit modules specialArgs; };
  };
in
lib

# Test double: functions of nixpkgs' `lib` on lists, sets and texts that nix/ uses, as nixpkgs has them. Our own text. A
# function that is missing here is an evaluation error that names it: add it as nixpkgs has it.
let
  inherit (builtins) attrNames concatStringsSep elemAt filter isString length listToAttrs split stringLength substring;
in
rec {
  inherit (builtins) all any concatMap elem filter foldl' head isAttrs length listToAttrs mapAttrs tail;
  inherit (builtins) attrNames attrValues concatLists concatStringsSep toJSON;

  last = list: elemAt list (length list - 1);
  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  imap0 = make: list: builtins.genList (at: make at (elemAt list at)) (length list);
  take = count: list: builtins.genList (elemAt list) (if count < length list then count else length list);
  unique = foldl' (seen: one: if elem one seen then seen else seen ++ [ one ]) [ ];

  optionalAttrs = condition: set: if condition then set else { };
  filterAttrs = holds: set:
    listToAttrs (map (name: { inherit name; value = set.${name}; })
      (filter (name: holds name set.${name}) (attrNames set)));
  mapAttrsToList = make: set: map (name: make name set.${name}) (attrNames set);
  mapAttrs' = make: set: listToAttrs (map (name: make name set.${name}) (attrNames set));
  nameValuePair = name: value: { inherit name value; };
  genAttrs = names: make: listToAttrs (map (name: { inherit name; value = make name; }) names);

  concatMapStrings = make: list: concatStringsSep "" (map make list);
  concatMapStringsSep = separator: make: list: concatStringsSep separator (map make list);
  splitString = separator: text: filter isString (split (literal separator) text);
  literal = builtins.replaceStrings [ "." "/" "\n" "-" ] [ "[.]" "[/]" "\n" "[-]" ];
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  removePrefix = prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
  hasSuffix = suffix: text:
    stringLength text >= stringLength suffix
    && substring (stringLength text - stringLength suffix) (-1) text == suffix;
  removeSuffix = suffix: text:
    if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;
  hasInfix = infix: text: length (splitString infix text) > 1;
  toUpper = builtins.replaceStrings
    (lettersOf "abcdefghijklmnopqrstuvwxyz") (lettersOf "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
  lettersOf = text: builtins.genList (at: substring at 1 text) (stringLength text);

  makeBinPath = packages: concatStringsSep ":" (map (package: "${package}/bin") packages);
  getExe = package: "${package}/bin/${package.meta.mainProgram}";
  getExe' = package: name: "${package}/bin/${name}";
  cleanSourceWith = { src, filter }: { inherit src filter; };
  isDerivation = value: (value.type or null) == "derivation";
  licenses.asl20 = "Apache-2.0";
  escapeShellArg = text: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] text}'";
}

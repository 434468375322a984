# The options of a module as a list, with those of submodules below them: what docs/reference/nix-options.md shows.
{ lib }:
let
  inherit (lib) concatLists filterAttrs hasPrefix mapAttrsToList;

  # Texts for literalExpression, other values as they are; both within an attribute, because null is a value.
  shown = value: if (value._type or null) == "literalExpression" then { inherit (value) text; } else { inherit value; };

  entry = option: {
    inherit (option) loc description;
    type = option.type.description;
    isReadOnly = option.readOnly or false;
    example = shown option.example;
  } // (
    if option ? defaultText then { default = shown option.defaultText; }
    else if option ? default then { default = shown option.default; }
    else { });

  listOf = tree: concatLists (mapAttrsToList
    (name: option:
      if !(lib.isOption option) then listOf option
      else if option.internal or false then [ ]
      else [ (entry option) ] ++ listOf (option.type.getSubOptions option.loc))
    (filterAttrs (name: _: !(hasPrefix "_" name)) tree));
in
listOf

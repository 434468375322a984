{
  description = "test double of nixpkgs: what flake.nix, nix/ and its modules take from it, and nothing else";

  # Never an input of a flake: tests put it in the place of nixpkgs with --override-input. What it lacks is an
  # evaluation error that names it. It shows that our own files are as meant, never that nixpkgs or NixOS take them.
  outputs = { self }: {
    lib = import ./nixpkgs-lib.nix;
    legacyPackages.x86_64-linux = import ./packages.nix;
  };
}

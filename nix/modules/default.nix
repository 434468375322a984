# The NixOS module of photoncloud: what a host runs, which node of the cluster it is, and what tenants have. Importing
# it changes nothing: every unit has an enable of its own.
{
  imports = [
    ./cluster.nix
    ./controller.nix
    ./deployer.nix
    ./host.nix
    ./nix-agent.nix
    ./store.nix
    ./tenants.nix
    ./worker.nix
  ];
}

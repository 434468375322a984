# Finds the checkout and runs its cluster program. The body of the program that program.nix makes.
top=${PHOTON_CHECKOUT:-$(git rev-parse --show-toplevel 2>/dev/null || pwd)}
if [ ! -f "$top/cluster-tests/cluster/cluster-main.ts" ]; then
  echo "cluster: $top is no checkout of photoncloud; go to one, or name it in PHOTON_CHECKOUT" >&2
  exit 2
fi
cd "$top"
exec sh cluster-tests/setup/run.sh kernel cluster-tests/cluster/cluster-main.ts "$@"

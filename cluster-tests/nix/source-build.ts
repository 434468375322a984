/**
 * The other parts of the audit of source roots, which need Nix: the files of a package as Nix takes them from git are
 * those that git has below its roots; and they are enough. The latter is tried in Nix's sandbox, where this checkout is
 * not visible: the sources are laid out as nix/package.nix does, the program runs, and every module is imported.
 */
import { readdirSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { checkout } from '../cluster/photon-commands.ts';
import { differences, isSelected, type SourcePackage } from './source-selection.ts';
import { NixPlace } from './nix-place.ts';

/** Where sandboxed builds see what set-up has made: third-party packages, and Node. */
const third = '/photon-third';

export const auditPlace = (): NixPlace =>
  new NixPlace([
    `${third}/node_modules=${join(checkout, 'node_modules')}`,
    `${third}/node=${dirname(dirname(process.execPath))}`,
  ]);

/** @returns the sources of a package in the store, as a flake sees them: what git does not know is not there */
export function sourcesInStore(nix: NixPlace, name: string): string {
  const { code, stdout, stderr } = nix.flake(['eval', '--raw', `.#lib.sources.${name}`]);
  if (code !== 0) throw new Error(`the sources of ${name} cannot be taken:\n${stderr}`);
  return stdout.trim();
}

/** @returns a line for each file that only one of git and the store has */
export function storeDifferences(folder: string, source: SourcePackage, tracked: readonly string[]): readonly string[] {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'));
  const wanted = tracked.filter((file) => isSelected(source, file));
  return differences(wanted, found, 'the store');
}

const script = `
  mkdir sources; cp -r $src/. sources; chmod -R u+w sources; cd sources
  eval "$mutation"
  mkdir -p node_modules/@photoncloud scratch
  for package in ${third}/node_modules/* ; do
    case $package in */@photoncloud) ;; *) ln -s "$package" node_modules/ ;; esac
  done
  for room in actors machines runtime; do ln -s ../../$room node_modules/@photoncloud/$room; done
  test -z "$(find . -xtype l)" || { echo "links that lead nowhere:"; find . -xtype l; exit 1; }
  test ! -e ${checkout} || { echo "the checkout is visible"; exit 1; }
  node=${third}/node/bin/node
  $node actors/photon/photon-main.ts --version
  $node $program "$PWD" "$PWD/scratch"
  echo ok > $out`;

export interface Built {
  readonly isBuilt: boolean;
  readonly log: string;
}

/** @param mutation shell text that changes the sources before: a test of this test */
export function buildSources(nix: NixPlace, folder: string, mutation = ':'): Built {
  const text = (value: string): string => `''${value.replaceAll("''", "'''").replaceAll('${', "''${")}''`;
  const expression = `derivation {
    name = "photoncloud-source-audit";
    system = "x86_64-linux";
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
    args = [ "-ec" ${text(script)} ];
    src = builtins.storePath "${folder}";
    program = "\${${join(import.meta.dirname, 'import-modules-main.ts')}}";
    mutation = ${text(mutation)};
  }`;
  const { code, stderr } = nix.run('nix-build', ['--no-out-link', '-E', expression]);
  return { isBuilt: code === 0, log: stderr };
}

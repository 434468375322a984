/**
 * What is generated from Nix is what its sources say; every option has a description and an example of its own type.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkout } from '../cluster/photon-commands.ts';
import { documentFiles, optionsOf, optionsPage, optionsPagePath } from './nix-pages.ts';
import { NixPlace, testing, whyNoNix } from './nix-place.ts';

const nix = new NixPlace();
test.after(() => nix.close());

const stored = (path: string): string => readFileSync(join(checkout, path), 'utf8');

function declare(): void {
  const options = optionsOf(nix);

  test('docs/reference/nix-options.md is what the options say', () => {
    assert.is(stored(optionsPagePath), optionsPage(options), 'run npm run reference');
  });

  test('nix/cluster/documents is what nix/cluster declares', () => {
    const files = documentFiles(nix);
    for (const [path, text] of files) assert.is(stored(path), text, `${path}: run npm run reference`);
    const names = readdirSync(join(checkout, 'nix/cluster/documents')).map((name) => `nix/cluster/documents/${name}`);
    assert.equal(names.toSorted(), [...files.keys()].toSorted());
  });

  test('every option has a description', () => {
    for (const { loc, description } of options) assert.match(description, /\w/, loc.join('.'));
    assert.ok(options.length > 150, `only ${options.length} options`);
  });

  test('every example is a value of its option', () => {
    const wrong = nix.evaluate(`
      let
        host = (import ${testing}/nixpkgs-lib.nix).nixosSystem { modules = [ (top + "/nix/modules") ]; };
        isLiteral = value: (value._type or null) == "literalExpression";
        fits = option: (builtins.tryEval (builtins.deepSeq (option.type.merge option.loc [ option.example ])
          (option.type.check option.example))).value;
        wrongIn = tree: builtins.concatLists (map (option:
          if !(lib.isOption option) then wrongIn option
          else lib.optional (!(isLiteral option.example) && !(fits option)) (lib.concatStringsSep "." option.loc)
            ++ wrongIn (option.type.getSubOptions option.loc)) (builtins.attrValues tree));
      in wrongIn host.options.services.photoncloud`);
    assert.equal(wrong, []);
  });
}

const reason = whyNoNix();
if (reason === undefined) declare();
else test.skip(`NOT RUN, lane 1 (pages generated from Nix): ${reason}`);

test.run();

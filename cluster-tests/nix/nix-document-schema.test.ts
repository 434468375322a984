/**
 * Contract between the options of nix/modules/tenants.nix and `photon apply`: what Nix renders is taken as it is by
 * the schema that validates documents, and nothing is added to it, so that the defaults of both are the same; a field
 * that is null and one that is absent mean the same.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { documentSchema } from '@photoncloud/actors/kind/documents';
import { declaredKinds } from '@photoncloud/machines/kinds';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkout } from '../cluster/photon-commands.ts';
import { NixPlace, whyNoNix } from './nix-place.ts';

const nix = new NixPlace();
test.after(() => nix.close());

type Fields = Readonly<Record<string, unknown>>;
interface Rendered extends Fields {
  readonly kind: string;
  readonly name: string;
  readonly spec: Fields;
}

/** Without fields that are null: what is left says the same. */
const withoutNulls = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(withoutNulls)
    : typeof value === 'object' && value !== null
      ? Object.fromEntries(
          Object.entries(value).flatMap(([name, one]) => (one === null ? [] : [[name, withoutNulls(one)]])),
        )
      : value;

const parsed = (document: unknown): Rendered => {
  const { success, data, error } = documentSchema.safeParse(document);
  assert.ok(success, `${JSON.stringify(document)}\n${error?.message}`);
  return data as unknown as Rendered;
};

const kindsOf = (documents: readonly Rendered[]): string[] => [...new Set(documents.map(({ kind }) => kind))];

/** Fields that a kind derives when they are left out, and so has no default for. */
const ipv6 = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (name, one: unknown) => (name === 'ipv6' ? undefined : one)));

/** Every pattern of a schema, once. */
function patternsIn(schema: unknown): readonly string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const { pattern } = schema as { pattern?: unknown };
  const own = typeof pattern === 'string' ? [pattern] : [];
  return [...new Set([...own, ...Object.values(schema).flatMap(patternsIn)])];
}

/** Texts that fit, the same with a character more or less, and texts of another kind. */
function textsFor(pattern: RegExp): readonly string[] {
  const fitting = fc.sample(fc.stringMatching(pattern), { numRuns: 20, seed: 11 });
  const spoilt = fitting.flatMap((text) => [`${text}\n`, `${text}-`, text.slice(1), text.slice(0, -1), ` ${text}`]);
  // Nix has no text with a NUL, and its patterns work on bytes.
  const isPlain = (text: string): boolean => Array.from(text).every((one) => one > '\0' && one < '\u0080');
  return [...fitting, ...spoilt, '', '-', 'a.b', 'A', 'a b', '/', '0'].filter(isPlain);
}

/** @returns path of a file with this text */
function write(text: string): string {
  const path = join(nix.folder, 'given.json');
  writeFileSync(path, text);
  return path;
}

function declare(): void {
  const { smallest, whole } = nix.evaluate(`
    let
      stateOf = import (top + "/nix/testing/tenant-state.nix") { inherit lib; };
    in builtins.mapAttrs (_: stateOf) (import (top + "/nix/testing/tenant-examples.nix"))`) as Readonly<
    Record<'smallest' | 'whole', { readonly documents: readonly Rendered[]; readonly problems: readonly string[] }>
  >;

  test('the examples have no problem, and an object of every declared kind, in the order of apply', () => {
    const order = declaredKinds.map(({ kind }) => kind);
    for (const { documents, problems } of [smallest, whole]) {
      assert.equal(problems, []);
      assert.equal(kindsOf(documents), order, 'add the new kind to nix/testing/tenant-examples.nix');
    }
  });

  test('the product takes what Nix renders, and adds nothing: the defaults are the same', () => {
    for (const document of [...smallest.documents, ...whole.documents]) {
      assert.equal(ipv6(parsed(document)), document, document.kind);
    }
  });

  test('null and absent mean the same', () => {
    for (const document of whole.documents) {
      const { spec, ...rest } = document;
      assert.equal(parsed({ ...rest, spec: withoutNulls(spec) }), parsed(document), document.kind);
    }
  });

  test('patterns mean in Nix what they mean in JavaScript', () => {
    const patterns = patternsIn(JSON.parse(readFileSync(join(checkout, 'docs/document.schema.json'), 'utf8')));
    assert.ok(patterns.length > 10, patterns.join(' '));
    const samples = patterns.map((pattern) => textsFor(new RegExp(pattern)));
    const evaluated = nix.evaluate(`
      let
        inherit (import (top + "/nix/modules/document-options.nix") { inherit lib; }) posix;
        given = builtins.fromJSON (builtins.readFile ${write(JSON.stringify({ patterns, samples }))});
        at = builtins.elemAt;
      in builtins.genList
        (n: map (text: builtins.match (posix (at given.patterns n)) text != null) (at given.samples n))
        (builtins.length given.patterns)`) as readonly (readonly boolean[])[];
    for (const [n, pattern] of patterns.entries()) {
      const texts = samples[n] ?? [];
      const expected = texts.map((text) => new RegExp(pattern).test(text));
      assert.ok(expected.includes(true) && expected.includes(false), pattern);
      for (const [at, text] of texts.entries())
        assert.is(evaluated[n]?.[at], expected[at], `${pattern} on ${JSON.stringify(text)}`);
    }
  });

  test('every published field can be declared', () => {
    const fieldsOf = ({ documents }: { readonly documents: readonly Rendered[] }) =>
      new Map(documents.map(({ kind, spec }) => [kind, Object.keys(spec).toSorted()]));
    const schema = JSON.parse(readFileSync(join(checkout, 'docs/document.schema.json'), 'utf8')) as {
      readonly $defs: Readonly<Record<string, { readonly properties?: Fields }>>;
    };
    const published = (kind: string): string[] => {
      const name = kind.split('-').map((word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`);
      return Object.keys(schema.$defs[`${name.join('')}Spec`]?.properties ?? {}).toSorted();
    };
    for (const [kind, fields] of fieldsOf(whole)) assert.equal(fields, published(kind), kind);
  });
}

const reason = whyNoNix();
if (reason === undefined) declare();
else test.skip(`NOT RUN, lane 1 (tenants declared in Nix are documents of photon apply): ${reason}`);

test.run();

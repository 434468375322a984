/** Documents that `photon apply -f` accepts and rejects before it sends a request. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { schemaPath, schemaText } from './document-schema-file.ts';
import { inOrder, readAllDocuments } from './document-schema.ts';

const test = suite('documents');
const folder = mkdtempSync(join(tmpdir(), 'photon-documents-'));
test.after(() => rmSync(folder, { recursive: true }));

function write(text: string): string {
  const path = join(folder, 'tenant.yaml');
  writeFileSync(path, text);
  return path;
}

function refusal(text: string): string {
  const path = write(text);
  try {
    readAllDocuments([path], undefined);
  } catch (error) {
    assert.instance(error, PhotonError);
    return ((error as PhotonError).record.issues ?? [])
      .map((issue) => `${issue.path}: ${issue.message}`)
      .join('\n')
      .replaceAll(path, 'F');
  }
  throw new Error('was accepted');
}

test('the published schema is the one that validates', () => {
  assert.is(readFileSync(schemaPath, 'utf8'), schemaText(), 'run npm run schema');
});

test('several documents are sorted by their dependencies', () => {
  const volume = 'kind: volume\ntenant: acme\nname: data\nspec: { sizeMib: 8 }\n';
  const read = readAllDocuments([write(`${volume}---\nkind: tenant\nname: acme\n`)], undefined);
  assert.equal(
    inOrder(read).map(({ kind, tenant, name }) => `${kind}/${tenant}/${name}`),
    ['tenant/acme/acme', 'volume/acme/data'],
  );
  assert.equal(inOrder(read)[1]?.spec, { sizeMib: 8, format: 'raw', class: 'local', image: null, snapshot: null });
});

test('what another document is made from comes before it, also when each is made from the other', () => {
  const of = (kind: string, name: string, spec: string): string =>
    `---\nkind: ${kind}\ntenant: acme\nname: ${name}\nspec: { ${spec} }\n`;
  const sized = 'sizeMib: 8, snapshot: ';
  const orderOf = (...documents: readonly string[]): string =>
    inOrder(readAllDocuments([write(documents.join(''))], undefined))
      .map(({ name }) => name)
      .join();
  const [clone, second] = [of('volume', 'clone', `${sized}s`), of('volume', 'second', `${sized}t`)];
  const [volume, s, t] = [
    of('volume', 'data', 'sizeMib: 8'),
    of('snapshot', 's', 'volume: data'),
    of('snapshot', 't', 'volume: clone'),
  ];
  assert.is(orderOf(second, clone, t, s, volume), 'data,s,clone,t,second');
  assert.is(orderOf(volume, s), 'data,s');
  assert.is(orderOf(of('volume', 'data', `${sized}s`), s), 's,data');
});

test('a document may be a list of objects; an error names the object by its number, with its line', () => {
  const list = '- { kind: tenant, name: acme }\n- { kind: volume, tenant: acme, name: data, spec: { sizeMib: 8 } }\n';
  const read = readAllDocuments([write(list)], undefined);
  assert.equal(
    read.map(({ kind, name, origin }) => `${kind} ${name} ${origin.slice(-3)}`),
    ['tenant acme 1.1', 'volume data 1.2'],
  );
  const text = refusal(`${list}-\n  kind: volume\n  tenant: acme\n  name: data\n  spec:\n    sizeMib: 0\n`);
  assert.match(text, /^F#1\.3 spec\.sizeMib: .*\(line 8\)$/);
  assert.match(refusal(`${list}- kind: tenant\n  name: acme\n`), 'F#1.3 name: declares what F#1.1 declares too');
});

test('unknown fields, also nested ones, are rejected with their path', () => {
  const text = refusal(
    'kind: network\ntenant: acme\nname: front\nspec: { subnets: [{ cidr: 10.0.0.0/24, gatway: 10.0.0.1 }] }\n',
  );
  assert.match(text, 'F#1 spec.subnets.0');
  assert.match(text, 'gatway');
});

test('invalid names are rejected', () => {
  for (const name of ['"a b"', '"a\\nb"', '-rf', 'Web', '..', 'a/b', 'x'.repeat(300)]) {
    assert.match(
      refusal(`kind: volume\ntenant: acme\nname: ${name}\nspec: { sizeMib: 1 }\n`),
      /F#1 name: must be 1 to 40/,
      name,
    );
  }
});

test('an error names the document by its number', () => {
  assert.match(
    refusal('kind: tenant\nname: acme\n---\nkind: volume\ntenant: acme\nname: v\nspec: { sizeMib: 0 }\n'),
    'F#2 spec.sizeMib',
  );
});

test('an error names the line of its field, or of what the field is missing in', () => {
  const text =
    'kind: tenant\nname: acme\n---\n# a disk\nkind: volume\ntenant: acme\nname: v\nspec:\n  format: raw\n  big: 1\n';
  assert.match(refusal(text), /F#2 spec\.big: unknown field \(line 10\)/);
  assert.match(refusal(text), /F#2 spec\.sizeMib: .* \(line 9\)/);
  assert.match(refusal('name: x\n---\n\n- a\n'), /F#2\.1: .* \(line 4\)/);
});

test('an object that is declared twice in one file is rejected', () => {
  const volume = 'kind: volume\ntenant: acme\nname: data\nspec: { sizeMib: 8 }\n';
  assert.is(refusal(`${volume}---\n${volume}`), 'F#2 name: declares what F#1 declares too; keep one of them');
});

test('an external network is of tenant system, whatever tenant the command line names', () => {
  const spec = '{cidr: 203.0.113.0/24, pools: [{from: 203.0.113.9, to: 203.0.113.10}], hosts: [w1], interface: eth1}';
  const [network] = readAllDocuments([write(`kind: external-network\nname: public\nspec: ${spec}\n`)], 'acme');
  assert.equal([network?.tenant, network?.name], ['system', 'public']);
  assert.match(refusal(`kind: external-network\ntenant: acme\nname: public\nspec: ${spec}\n`), 'F#1 tenant');
});

test('unknown kinds, duplicate keys and alias bombs are rejected', () => {
  assert.match(refusal('kind: zone\ntenant: acme\nname: r\nspec: {}\n'), 'F#1 kind');
  assert.match(refusal('kind: tenant\nkind: vm\nname: acme\n'), 'F#1');
  const bomb = [
    'a: &a [1,1,1,1,1,1,1,1,1]',
    ...'bcdef'.split('').map((c, at) => `${c}: &${c} [${Array(9).fill(`*${'abcdef'[at]}`).join(',')}]`),
  ];
  assert.match(refusal(bomb.join('\n')), 'F#1: ');
  assert.match(refusal('kind: vm\nname: v\nspec: *none\n'), /F#1: .*none/);
});

test.run();

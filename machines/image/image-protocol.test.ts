/** The path of an image: which texts name which file, and which name none. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { imageSpec } from './image-protocol.ts';

const read = (path: string) => imageSpec.safeParse({ source: { path }, format: 'raw' });

test('a file:// address is decoded as any address is; a plain path is taken as it is', () => {
  const named: Readonly<Record<string, string>> = {
    '/a/base image.raw': '/a/base image.raw',
    '/a/100%.raw': '/a/100%.raw',
    '/a/base%20image.raw': '/a/base%20image.raw',
    'file:///a/base%20image.raw': '/a/base image.raw',
    'file:///a/100%25.raw': '/a/100%.raw',
    'file:///a/%2520.raw': '/a/%20.raw',
    'file:///a/gr%C3%BC%C3%9Fe.raw': '/a/grüße.raw',
    'file:///a/grüße.raw': '/a/grüße.raw',
    'file:///a/q%3Fv%23.raw': '/a/q?v#.raw',
    // The host refuses these parts where the path is opened, encoded or not.
    'file:///a/%2e%2e/b.raw': '/a/../b.raw',
  };
  for (const [text, path] of Object.entries(named)) assert.is(read(text).data?.source.path, path, text);
});

test('an address is refused when it names no file, or could name another one than it seems to', () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['file:///a%2Fb.raw', /must not contain %2F/],
    ['file:///a%2fb.raw', /must not contain %2F/],
    ['file:///a%00.raw', /NUL/],
    ['file:///a%0A.raw', /line break/],
    ['file:///a%FF.raw', /percent codes of UTF-8/],
    ['file:///a%C3.raw', /percent codes of UTF-8/],
    ['file:///a%C0%AFb.raw', /percent codes of UTF-8/],
    ['file:///a%ED%A0%80.raw', /percent codes of UTF-8/],
    ['file:///100%.raw', /percent codes of UTF-8/],
    ['file:///a%zz.raw', /percent codes of UTF-8/],
    ['file:///a.raw?b', /%3F/],
    ['file:///a.raw#b', /%23/],
    ['/a\ud800.raw', /half a character/],
    ['file:///a\udc00.raw', /half a character/],
    ['file://host/a.raw', /absolute path/],
    ['file://%2Fa.raw', /absolute path/],
    ['a.raw', /absolute path/],
  ];
  for (const [text, why] of refused) assert.match(read(text).error?.issues[0]?.message ?? 'accepted', why, text);
});

test.run();

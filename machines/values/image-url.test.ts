/** Which texts are addresses of images, and which are refused at the door. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readImageUrl } from './image-url.ts';

test('an address is read as it is written', () => {
  const read: Readonly<Record<string, object>> = {
    'https://example.org/a.qcow2': { isSecure: true, host: 'example.org', port: 443, target: '/a.qcow2' },
    'http://example.org': { isSecure: false, host: 'example.org', port: 80, target: '/' },
    'https://example.org:8443?x=1': { isSecure: true, host: 'example.org', port: 8443, target: '/?x=1' },
    'http://192.0.2.7:81/a%20b': { isSecure: false, host: '192.0.2.7', port: 81, target: '/a%20b' },
    'https://[2001:db8::7]/a': { isSecure: true, host: '2001:db8::7', port: 443, target: '/a' },
    'https://xn--bcher-kva.example/a@b': { isSecure: true, host: 'xn--bcher-kva.example', port: 443, target: '/a@b' },
  };
  for (const [text, parts] of Object.entries(read)) assert.equal(readImageUrl(text), parts, text);
});

test('an address is refused when programs would differ about what it names, or it holds a secret', () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['file:///etc/shadow', /begin with/],
    ['HTTPS://example.org/', /begin with/],
    ['ftp://example.org/', /begin with/],
    ['gopher://example.org/', /begin with/],
    ['//example.org/', /begin with/],
    ['https:/example.org/', /begin with/],
    ['https://user:secret@example.org/', /credentials/],
    ['https://example.org@169.254.169.254/', /credentials/],
    ['https://example.org\\@evil/', /printable/],
    ['https://example.org/a b', /printable/],
    ['https://example.org/\r\nhost: x', /printable/],
    ['https://bücher.example/', /Punycode/],
    ['https://example.org/#part', /after #/],
    ['https://example.org:0/', /port/],
    ['https://example.org:65536/', /port/],
    ['https:///a', /name a host/],
    ['https://2130706433/', /IP address/],
    ['https://0x7f000001/', /IP address/],
    ['https://0x7f.0.0.1/', /IP address/],
    ['https://0177.0.0.1/', /IP address/],
    ['https://127.1/', /IP address/],
    ['https://127.0.0.1./', /name a host/],
    ['https://127.0.0.01/', /IP address/],
    ['https://1.2.3.256/', /IP address/],
    ['https://[::ffff:127.0.0.1]/', /IP address/],
    ['https://[0:0:0:0:0:0:0:01]/', /IP address/],
    ['https://[fe80::1%25eth0]/', /IP address/],
    ['https://[::1/', /name a host/],
    ['https://-a.example/', /name a host/],
    ['https://a..example/', /name a host/],
    [`https://example.org/${'a'.repeat(2048)}`, /2048/],
  ];
  for (const [text, why] of refused) {
    const read = readImageUrl(text);
    assert.match(typeof read === 'string' ? read : 'accepted', why, text);
  }
});

test.run();

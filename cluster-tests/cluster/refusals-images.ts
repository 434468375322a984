/**
 * Files that must not become images: real files in one folder that workers may import from, beside one valid file, and
 * the table of refusals they must cause. Used by refusals.test.ts.
 */
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Refusal } from './refusals-cases.ts';

/** Path of the folder inside the nodes. */
export const imagesInside = '/run/images';
const mib = 1 << 20;

/** Fills `folder`, which nodes see at `imagesInside`. */
export function makeBadImages(folder: string): void {
  const at = (name: string): string => join(folder, name);
  const run = (program: string, ...argv: string[]): void => {
    execFileSync(program, argv, { cwd: folder, stdio: 'pipe' });
  };
  writeFileSync(at('good.raw'), Buffer.alloc(mib, 'disk'));
  // A kernel and an initrd as far as their first bytes tell.
  const kernel = Buffer.alloc(mib);
  kernel.writeUInt16LE(0xaa55, 0x1fe);
  kernel.write('HdrS', 0x202, 'latin1');
  writeFileSync(at('good.kernel'), kernel);
  writeFileSync(at('good.initrd'), '070701');
  writeFileSync(at('empty.raw'), '');
  writeFileSync(at('text.kernel'), 'root:x:0:0:root:/root:/bin/sh\n'.repeat(100));
  mkdirSync(at('inner'));
  writeFileSync(at('inner/good.raw'), Buffer.alloc(mib, 'disk'));
  symlinkSync('/etc/passwd', at('link-out.raw'));
  symlinkSync('good.raw', at('link-in.raw'));
  symlinkSync('/etc', at('folder-out'));
  symlinkSync('inner', at('folder-in'));
  symlinkSync('/proc/self', at('proc-link'));
  run('mkfifo', 'pipe.raw');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', 'good.qcow2', '1M');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', 'good.raw', '-F', 'raw', 'backed.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', '/etc/passwd', '-u', '-F', 'raw', 'passwd.qcow2', '1M');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'data_file=outside.raw', 'outside.qcow2', '1M');
  run('qemu-img', 'create', '-q', '-f', 'vmdk', 'disk.vmdk', '1M');
  const wide = readFileSync(at('good.qcow2'));
  wide.writeUInt32BE(9, 96);
  writeFileSync(at('wide.qcow2'), wide);
  writeFileSync(at('secret.raw'), Buffer.alloc(mib, 'disk'), { mode: 0o000 });
  writeFileSync(at('named twice.raw'), Buffer.alloc(mib, 'disk'));
  linkSync(at('named twice.raw'), at('second.raw'));
}

const source = 'spec.source.path';
const digest = 'a'.repeat(64);

function image(what: string, path: string, want: Omit<Refusal, 'what' | 'id' | 'params'>, more: object = {}): Refusal {
  const params = { source: { path }, format: 'raw', ...more };
  return { what: `image: ${what}`, id: 'image/acme/bad', params, ...want };
}

const inside = (name: string): string => `file://${imagesInside}/${name}`;
const outside = {
  code: 'path_not_allowed',
  path: source,
  says: /no host can import .*: each of them allows no images from that folder/,
};
const link = { code: 'path_is_link', path: source, says: /symbolic link; give the real path/ };
const irregular = { code: 'path_not_regular', path: source, says: /not a regular file/ };
const backing = { code: 'qcow2_backing_file', path: source, says: /has a backing file.*flatten it/ };
const unplain = { code: 'path_not_absolute', path: source, says: /without empty, "\." or "\.\." parts/ };

export const imageRefusals: readonly Refusal[] = [
  image('outside the allowed roots', 'file:///etc/passwd', outside),
  image('a root is no prefix of names', `file://${imagesInside}-other/good.raw`, outside),
  image('the root itself', `file://${imagesInside}`, outside),
  image('out of the root by ..', inside('../../etc/passwd'), outside),
  image('.. that stays within', inside('inner/../good.raw'), outside),
  image('/proc', 'file:///proc/self/environ', outside),
  image("the node's own folder", 'file:///run/photon/node.json', outside),
  image('a dot as a part', inside('./good.raw'), unplain),
  image('an empty part', inside('inner//good.raw'), unplain),
  image('no such file', inside('absent.raw'), {
    code: 'path_missing',
    path: source,
    says: /no such file on this host/,
  }),
  image('a link out', inside('link-out.raw'), link),
  image('a link within', inside('link-in.raw'), link),
  image('through a linked folder, out', inside('folder-out/passwd'), link),
  image('through a linked folder, within', inside('folder-in/good.raw'), link),
  image('through a link into /proc', inside('proc-link/environ'), link),
  image('a folder', inside('inner'), irregular),
  image('a fifo', inside('pipe.raw'), irregular),
  image('below a file', inside('good.raw/x'), { code: 'path_missing', path: source, says: /cannot be reached/ }),
  image('nobody may read it', inside('secret.raw'), {
    code: 'path_private',
    path: source,
    says: /not readable by everybody on the host/,
  }),
  image('a hard link', inside('named%20twice.raw'), {
    code: 'path_has_links',
    path: source,
    says: /named twice\.raw" has 2 names/,
  }),
  image('an encoded slash', inside('inner%2Fgood.raw'), {
    code: 'params_invalid',
    path: 'spec.source.path',
    says: /must not contain %2F/,
  }),
  image(
    'reference counts of 512 bits',
    inside('wide.qcow2'),
    { code: 'qcow2_malformed', path: source, says: /reference counts of 2\^9 bits/ },
    { format: 'qcow2' },
  ),
  image('nothing in it', inside('empty.raw'), { code: 'image_empty', path: source, says: /empty/ }),
  image('backing file', inside('backed.qcow2'), backing, { format: 'qcow2' }),
  image('backing file with a secret', inside('passwd.qcow2'), backing, { format: 'qcow2' }),
  image(
    'external data file',
    inside('outside.qcow2'),
    {
      code: 'qcow2_data_file',
      path: source,
      says: /external data file/,
    },
    { format: 'qcow2' },
  ),
  image('raw that is qcow2', inside('good.qcow2'), {
    code: 'format_lies',
    path: 'spec.format',
    says: /raw but is qcow2/,
  }),
  image('raw that is vmdk', inside('disk.vmdk'), {
    code: 'format_unsupported',
    path: source,
    says: /is vmdk.*convert/,
  }),
  image(
    'qcow2 that is raw',
    inside('good.raw'),
    {
      code: 'format_lies',
      path: 'spec.format',
      says: /qcow2 but is something else/,
    },
    { format: 'qcow2' },
  ),
  image(
    'kernel that is text',
    inside('text.kernel'),
    {
      code: 'format_lies',
      path: 'spec.format',
      says: /kernel but is no bzImage/,
    },
    { format: 'kernel' },
  ),
  image(
    'initrd that is text',
    inside('text.kernel'),
    {
      code: 'format_lies',
      path: 'spec.format',
      says: /initrd but is neither cpio/,
    },
    { format: 'initrd' },
  ),
  image(
    'another digest',
    inside('good.raw'),
    {
      code: 'digest_mismatch',
      path: 'spec.sha256',
      says: /check the file and the sha256/,
    },
    { sha256: digest },
  ),
  image(
    'a host that is not there',
    inside('good.raw'),
    {
      code: 'host_not_found',
      path: 'spec.host',
      says: /no host w9/,
    },
    { host: 'w9' },
  ),
  image('a URL', 'http://127.0.0.1/good.raw', {
    code: 'params_invalid',
    path: 'spec.source.path',
    says: /absolute path or a file:\/\/ address/,
  }),
  image('a newline in the path', inside('good.raw\n-'), {
    code: 'params_invalid',
    path: 'spec.source.path',
    says: /absolute path/,
  }),
  image(
    'a digest that is none',
    inside('good.raw'),
    {
      code: 'params_invalid',
      path: 'spec.sha256',
      says: /64 lower case hex digits/,
    },
    { sha256: 'A'.repeat(64) },
  ),
  image(
    'an unknown format',
    inside('good.raw'),
    {
      code: 'params_invalid',
      path: 'spec.format',
      says: /raw/,
    },
    { format: 'vmdk' },
  ),
];

/** Every reason why a file is refused as an image, with advice; clients see the code. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ImageRefusal } from '../contract/storage-contract.ts';

const advice: Readonly<Record<ImageRefusal, string>> = {
  path_not_absolute: 'Give an absolute path without empty, "." or ".." parts.',
  path_outside_roots: 'Put it below one of the folders this host allows for images.',
  path_missing: 'There is no such file on this host.',
  path_is_link: 'A part of the path is a symbolic link; give the real path.',
  path_not_regular: 'It is not a regular file.',
  path_unreadable: 'The worker may not read it.',
  path_private: 'Make it readable by everybody on the host, or let the operator name its owner as image owner.',
  path_has_links: 'It has a second name (a hard link), so it may be a file from elsewhere; copy it.',
  image_empty: 'The file is empty.',
  format_lies: 'Declare its actual format, or convert it.',
  format_unsupported:
    'Only raw, qcow2, kernel and initrd are imported; convert it with qemu-img convert -O qcow2 where you made it.',
  format_ambiguous: 'Tools would differ about what it is; create the image again with qemu-img convert.',
  partition_table: 'Get the whole file again, or repair its partition table.',
  qcow2_malformed: 'Its header is invalid; create the image again with qemu-img.',
  qcow2_version: 'Only qcow2 versions 2 and 3 are accepted.',
  qcow2_backing_file: 'It refers to another file; flatten it with qemu-img convert.',
  qcow2_data_file: 'Its content is in another file; flatten it with qemu-img convert.',
  qcow2_encrypted: 'Encrypted images are not accepted.',
  qcow2_incompatible:
    'It uses features that are not accepted, or was not closed cleanly; run qemu-img check, then convert it.',
  qcow2_size: 'Its declared size is zero or more than 16 TiB.',
  qcow2_bomb: 'It would unpack to very many times its size; create the image again with qemu-img convert.',
  qcow2_unusable: 'Create the image again with qemu-img.',
  source_url: 'Give the address of the file itself, as https://host/path.',
  source_denied: 'Use a host with public addresses, ask the operator to allow this one, or upload the image.',
  source_redirects: 'Give the address to which it leads.',
  source_refused: 'Check that the address is right, and that anybody may fetch it.',
  source_encoded: 'The server must send the file as it is, without content encoding.',
  source_too_large: 'Use a smaller image, or one in qcow2.',
  digest_mismatch: 'The content does not have the declared digest; check the file and the sha256.',
};

export function refuseImage(code: ImageRefusal, what: string): PhotonError {
  return new PhotonError('defeat', code, `${what}. ${advice[code]}`, { public: true });
}

export const blobMissing = (sha256: string): PhotonError =>
  new PhotonError(
    'defeat',
    'image_missing',
    `There is no copy of ${sha256.slice(0, 12)} on this host; import or fetch it first.`,
  );

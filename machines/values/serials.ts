/**
 * Disk serials: what a guest sees of a volume's identity.
 * virtio-blk holds 20 bytes (VIRTIO_BLK_ID_BYTES), so a serial is 20 base32 characters, 100 bits, of a hash of the uid.
 */
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** A 32-bit hash with good avalanche (murmur3's finaliser over FNV-1a); no secret depends on it. */
function hash32(text: string, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** @returns 20 characters of a to z and 2 to 7, the same for the same uid for ever. */
export function serialOf(uid: string): string {
  let serial = '';
  for (let word = 0; word < 4; word += 1) {
    let bits = hash32(uid, 0x9e3779b9 * (word + 1));
    for (let digit = 0; digit < 5; digit += 1) {
      serial += alphabet[bits & 31];
      bits >>>= 5;
    }
  }
  return serial;
}

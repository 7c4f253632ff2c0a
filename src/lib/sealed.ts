import { crc32 } from 'node:zlib'

const checkBytes = 4

/** Bytes for a store that others may write to: with a checksum over them and the key they are stored under. Pure. */
export function seal(key: string, payload: Buffer): Buffer {
  const sealed = Buffer.allocUnsafe(checkBytes + payload.length)
  sealed.writeUInt32BE(crc32(payload, crc32(key)), 0)
  payload.copy(sealed, checkBytes)
  return sealed
}

/** What was sealed under the key; null for what is cut, changed, of another key, or of somebody else. Pure. */
export function unseal(key: string, sealed: Buffer): Buffer | null {
  if (sealed.length < checkBytes) return null
  const payload = sealed.subarray(checkBytes)
  return sealed.readUInt32BE(0) === crc32(payload, crc32(key)) ? payload : null
}

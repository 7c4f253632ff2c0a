/** How many bytes of large answers may be in memory at once, over all requests. */
export type ByteRoom = {
  /** Takes room; answers how to give it back, once, or null where there is none. */
  take(bytes: number): (() => void) | null
}

/** Whatever is larger than all of it still gets in where nothing else is. */
export function createByteRoom(maxBytes: number): ByteRoom {
  let takenBytes = 0
  return {
    take(bytes) {
      if (takenBytes > 0 && takenBytes + bytes > maxBytes) return null
      takenBytes += bytes
      let isGivenBack = false
      return () => {
        if (!isGivenBack) takenBytes -= bytes
        isGivenBack = true
      }
    },
  }
}

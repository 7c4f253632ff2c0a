import { sha256Head } from './sha256.js'

/** How many buckets subjects fall into: one a basis point. */
export const bucketCount = 10_000

/**
 * The bucket (0–9999) of a subject: the first four bytes of SHA-256(salt ":" key), big-endian, scaled to 10,000.
 * The same salt and key always give the same bucket. Pure.
 */
export function canaryBucket(salt: string, key: string): number {
  return Math.floor((sha256Head(`${salt}:${key}`) * bucketCount) / 2 ** 32)
}

/** A bucket is in the canary when it lies below its share, so raising the share only moves subjects in. Pure. */
export function isInCanary(bucket: number, basisPoints: number): boolean {
  return bucket < basisPoints
}

/** A percentage (0–100, at most two decimals) as integer basis points. Pure. */
export function toBasisPoints(percentage: number): number {
  return Math.round(percentage * 100)
}

/** Whether a percentage can be kept exactly: 0.01 to 100 with at most two decimals. Pure. */
export function isPercentage(percentage: number): boolean {
  const basisPoints = toBasisPoints(percentage)
  return basisPoints >= 1 && basisPoints <= bucketCount && basisPoints / 100 === percentage
}

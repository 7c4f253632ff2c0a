/**
 * The quality (0–1) that an `Accept` header gives to a media type: the most specific range that covers it decides
 * (RFC 9110, 12.5.1). Without a header everything is as good. Pure.
 */
export function acceptQuality(header: string | undefined, type: string): number {
  if (!header) return 1
  const ranges = [type, `${type.split('/')[0]}/*`, '*/*']
  const qualities = new Map(header.split(',', 64).map(parseRange))
  for (const range of ranges) {
    const quality = qualities.get(range)
    if (quality !== undefined) return quality
  }
  return 0
}

function parseRange(text: string): [range: string, quality: number] {
  const [range = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase())
  const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
  const value = quality === undefined ? 1 : Number(quality)
  return [range, Number.isFinite(value) ? Math.min(Math.max(value, 0), 1) : 0]
}

/** How deep JSON and YAML may be nested. */
export const maxDepth = 64

// What the benchmark uses of stock nunjucks, which ships no types.

declare module 'nunjucks' {
  type Options = { autoescape: boolean }
  class Environment {
    constructor(loaders: unknown[], options: Options)
  }
  class Template {
    constructor(source: string, environment: Environment, path: string, eagerCompile: boolean)
    render(variables: Record<string, unknown>): string
  }
  const nunjucks: { readonly Environment: typeof Environment; readonly Template: typeof Template }
  export default nunjucks
}

import type { Command, Option } from 'commander'

export type Shell = 'bash' | 'zsh' | 'fish'

/** What can follow some words on the command line. */
type Place = {
  /** The words that lead there: `alias set`; empty for the program itself. */
  path: string
  words: { word: string; about: string }[]
  options: { word: string; short: string | null; about: string; takesValue: boolean; choices: readonly string[] }[]
  /** Choices of the first argument. */
  choices: readonly string[]
}

/** The script that completes the command line in a shell. `topics` are what `help` takes besides commands. Pure. */
export function completionScript(shell: Shell, program: Command, topics: readonly string[]): string {
  const places = placesOf(program, topics)
  if (shell === 'fish') return fishScript(places)
  return shell === 'bash' ? bashScript(places) : zshScript(places)
}

function placesOf(program: Command, topics: readonly string[]): Place[] {
  const visit = (command: Command, path: string[]): Place[] => {
    const inner = command.commands.filter((one) => !isHidden(one as Command)) as Command[]
    const isHelp = path.join(' ') === 'help'
    const helped = isHelp ? [...program.commands.map((one) => one.name()), ...topics] : []
    const place = {
      path: path.join(' '),
      words: inner.map((one) => ({ word: one.name(), about: one.summary() || one.description() })),
      options: [...command.options.filter(({ hidden }) => !hidden).map(toOption), helpOption],
      choices: [...(command.registeredArguments[0]?.argChoices ?? []), ...helped],
    }
    return [place, ...inner.flatMap((one) => visit(one, [...path, one.name()]))]
  }
  return visit(program, [])
}

const helpOption = { word: '--help', short: '-h', about: 'print help', takesValue: false, choices: [] }

function isHidden(command: Command): boolean {
  return (command as Command & { _hidden?: boolean })._hidden === true
}

function toOption({ long, short, flags, description, required, optional, argChoices }: Option): Place['options'][number] {
  return {
    ...{ word: long ?? flags, short: short ?? null, about: description },
    ...{ takesValue: required || optional, choices: argChoices ?? [] },
  }
}

/** The options of a place that are followed by a value, as a pattern of `case`. */
function valuedPattern({ options }: Place): string {
  return options
    .filter(({ takesValue, choices }) => takesValue && choices.length === 0)
    .flatMap(({ word, short }) => (short === null ? [word] : [word, short]))
    .join('|')
}

/** Lines of a `case` for each place, in which `candidates` is what completes the word at the cursor. */
function caseLines(place: Place, set: (words: readonly string[]) => string): string[] {
  const valued = valuedPattern(place)
  const withChoices = place.options.filter(({ choices }) => choices.length > 0)
  return [
    `    "${place.path}")`,
    '      case "$previous" in',
    ...(valued === '' ? [] : [`        ${valued}) ${set([])} ;;`]),
    ...withChoices.map(({ word, choices }) => `        ${word}) ${set(choices)} ;;`),
    '        *)',
    `          if [[ "$current" == -* ]]; then ${set(place.options.map(({ word }) => word))}`,
    `          else ${set([...place.words.map(({ word }) => word), ...place.choices])}; fi ;;`,
    '      esac ;;',
  ]
}

/** Finds the command that is being typed: its words so far that are commands, joined by spaces. `path` means another thing to zsh. */
function pathLines(places: readonly Place[]): string {
  const paths = places.filter(({ path }) => path !== '').map(({ path }) => `"${path}"`)
  return `    case "\${called:+$called }$word" in
      ${paths.join('|')}) called="\${called:+$called }$word" ;;
    esac`
}

function bashScript(places: readonly Place[]): string {
  return `# Completion of promptsync for bash. Load it by: source <(promptsync completion bash)
_promptsync() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="" called="" word candidates=""
  (( COMP_CWORD > 0 )) && previous="\${COMP_WORDS[COMP_CWORD-1]}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
${pathLines(places)}
  done
  case "$called" in
${places.flatMap((place) => caseLines(place, (words) => `candidates="${words.join(' ')}"`)).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$candidates" -- "$current"))
}
complete -o default -F _promptsync promptsync
`
}

function zshScript(places: readonly Place[]): string {
  return `# Completion of promptsync for zsh. Load it by: source <(promptsync completion zsh)
_promptsync() {
  local current="\${words[CURRENT]}" previous="\${words[CURRENT-1]}" called="" word
  local -a candidates
  for word in "\${words[@]:1:$((CURRENT-2))}"; do
${pathLines(places)}
  done
  case "$called" in
${places.flatMap((place) => caseLines(place, (words) => `candidates=(${words.join(' ')})`)).join('\n')}
  esac
  if (( \${#candidates} )); then compadd -- "\${candidates[@]}"; else _files; fi
}
compdef _promptsync promptsync
`
}

function fishScript(places: readonly Place[]): string {
  const lines = places.flatMap((place) => [
    ...place.words.map(({ word, about }) => fishLine(place, ['-f', '-a', word], about)),
    ...(place.choices.length === 0 ? [] : [fishLine(place, ['-f', '-a', fishQuoted(place.choices.join(' '))], '')]),
    ...place.options.map(({ word, short, about, takesValue, choices }) => {
      const names = [`-l ${word.replace(/^--/, '')}`, ...(short === null ? [] : [`-s ${short.replace('-', '')}`])]
      const values = choices.length > 0 ? [`-x -a ${fishQuoted(choices.join(' '))}`] : takesValue ? ['-r'] : []
      return fishLine(place, [...names, ...values], about)
    }),
  ])
  const paths = places.filter(({ path }) => path !== '').map(({ path }) => `'${path}'`)
  return `# Completion of promptsync for fish. Load it by: promptsync completion fish | source
function __promptsync_path
    set -l path
    for word in (commandline -opc)[2..-1]
        set -l longer (string join ' ' $path $word)
        if contains -- "$longer" ${paths.join(' ')}
            set path $longer
        end
    end
    echo "$path"
end
${lines.join('\n')}
`
}

function fishLine({ path }: Place, parts: string[], about: string): string {
  const condition = `-n ${fishQuoted(`test (__promptsync_path) = '${path}'`)}`
  return ['complete -c promptsync', condition, ...parts, ...(about === '' ? [] : [`-d ${fishQuoted(about)}`])].join(' ')
}

function fishQuoted(text: string): string {
  return `"${text.replaceAll(/["$\\]/g, '\\$&')}"`
}

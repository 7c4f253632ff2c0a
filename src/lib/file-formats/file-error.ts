/** Why a file cannot be read; the message goes on from the file's name. `at` is the place, if it is known, from 1. */
export class FileError extends Error {
  constructor(
    message: string,
    readonly at?: { line: number; column: number },
  ) {
    super(message)
  }
}

/** A format that is not read at all. */
export class UnsupportedFile extends Error {}

/** Why a file cannot be read; the message goes on from the file's name. */
export class FileError extends Error {}

/** A format that is not read at all. */
export class UnsupportedFile extends Error {}

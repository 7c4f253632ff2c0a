/** A command on the database cannot be carried out; `message` says why and what to do. Nothing was changed. */
export class AdminError extends Error {}

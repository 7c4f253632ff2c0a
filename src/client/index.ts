export type { PromptMessage } from '../lib/content-hash.js'
export type { PromptDiff } from '../lib/diff/prompt-diff.js'
export type { RenderedMessage } from '../lib/rendering/placeholders.js'
export type { EventsOptions, GetPromptOptions, GetPromptsOptions, PeekOptions } from './call-options.js'
export type { PromptsyncEvent } from './events.js'
export type { Fallback, FallbackPrompt } from './fallbacks.js'
export type {
  AISDKContentPart,
  AISDKMessage,
  AISDKRequest,
  AnthropicBlock,
  AnthropicMessage,
  AnthropicRequest,
  AnthropicTool,
  AnthropicToolChoice,
  OpenAIContentPart,
  OpenAIMessage,
  OpenAIRequest,
  OpenAITool,
  OpenAIToolCall,
  OpenAIToolChoice,
  RequestOptions,
} from './formats.js'
export type { CacheStrategy, ErrorContext, PromptManagerOptions, RefreshStrategy, StaleServed } from './options.js'
export { type ClientErrorCode, type ProblemFinding, PromptsyncError } from './problem.js'
export type { ChatPrompt, FormatOptions, Prompt, ServedFrom, TextPrompt } from './prompt.js'
export { PromptManager, type PushAnswer, type PushRequest } from './prompt-manager.js'
export type { TrackedPrompt, TrackingContext } from './tracking.js'

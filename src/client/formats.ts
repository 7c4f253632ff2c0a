// What the rest of the client needs of the formats: one function and its types for each API of models.
export { type AISDKContentPart, type AISDKMessage, type AISDKRequest, toAISDK } from './formats/ai-sdk.js'
export {
  type AnthropicBlock,
  type AnthropicMessage,
  type AnthropicRequest,
  type AnthropicTool,
  type AnthropicToolChoice,
  toAnthropic,
} from './formats/anthropic.js'
export type { FormattedPrompt, RequestOptions } from './formats/conversation.js'
export {
  type OpenAIContentPart,
  type OpenAIMessage,
  type OpenAIRequest,
  type OpenAITool,
  type OpenAIToolCall,
  type OpenAIToolChoice,
  toOpenAI,
} from './formats/openai.js'

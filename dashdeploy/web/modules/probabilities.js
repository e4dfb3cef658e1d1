// What a model's output says of classes: logits become probabilities, probabilities stay as they are.

const ROUNDING = 1e-3; // how far from 1 a sum of float32 or float16 probabilities may be

/** Whether values are probabilities of classes that exclude each other. */
export function isDistribution(values) {
  let sum = 0;
  for (const value of values) {
    if (!(value >= 0 && value <= 1 + ROUNDING)) return false;
    sum += value;
  }
  return Math.abs(sum - 1) < ROUNDING;
}

export function softmax(logits) {
  const top = Math.max(...logits), powers = Array.from(logits, logit => Math.exp(logit - top));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map(power => power / sum);
}

export const sigmoid = logits => Array.from(logits, logit => 1 / (1 + Math.exp(-logit)));

/**
 * Probabilities of one sample's output, and what was done to it, in words.
 * With `multiLabel` every label has a probability of its own.
 */
export function probabilitiesOf(values, multiLabel) {
  if (multiLabel) return {probabilities: sigmoid(values), how: "sigmoid of the logits"};
  if (values.length > 1 && isDistribution(values)) return {probabilities: [...values], how: "as the model gives them"};
  return {probabilities: softmax(values), how: "softmax of the logits"};
}

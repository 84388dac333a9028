// The numbers of fer_runtime's faces/ and pipeline/loop.py, by file, with their names; the reasons stand there.
// A test compares them with the Python modules.

export const detection = {
  MEAN: [104, 117, 127], ANCHORS: [[8, [16, 32]], [16, [64, 128]], [32, [256, 512]]], V_C: 0.1, V_S: 0.2, MIN_SIDE: 320, MAX_SIDE: 640,
  MIN_SCORE: 0.8, PROPOSAL_SHARE: 0.6, MIN_PROPOSAL: 0.1,
} as const;
export const locating = { SIZE: 48, REGION: 1.6 } as const;
export const similarity = { THUMBNAIL: 16 } as const;
export const searching = {
  DEFAULT_INTERVAL_S: 0.4, MAX_QUIET_S: 2.0, FINE_INTERVAL_S: 4.0, MIN_COLOUR: 4.0, MAP: [40, 30], SAMPLES: 8, MIN_CHANGE: 3.0, MARGIN: 0.15,
  HEAD: 0.3,
} as const;
export const following = {
  REGION: 2.2, MIN_LOCATED: 0.7, MAX_OFFSET: 0.1, CHECK_INTERVALS_S: [0.2, 0.4, 1.0], MAX_UNCONFIRMED_S: 1.5, PRIOR_CHECKS: 0.4,
  MIN_WEIGHT: 0.2, RETRY_S: 0.09, MAX_PREDICTION_S: 0.2, SIZE_TIME_CONSTANT_S: 0.2, STILL: 1.0, MIN_OVERLAP: 0.3,
} as const;
export const tracking = {
  MAX_UNSEEN_S: 0.6, MAX_FRAME_GAP_S: 1.5, RARE_S: 0.25, SPARSE_S: 0.06, MIN_PAUSE_S: 0.2, MAX_PROPOSALS: 8, LOOKS: 2, SAME: 0.6,
  SCENE_CUT: 25.0, SCENE_THUMBNAIL: [32, 24],
} as const;
export const smoothing = { TIME_CONSTANT_S: 0.25, MIN_EVIDENCE: 0.4, P_UNCERTAIN: 0.27, MIN_PROBABILITY: 0.01, MAX_STEP_S: 0.5 } as const;
export const preprocessing = { MIN_TILT: 12.0, MAX_TILT: 45.0 } as const;
export const loop = { UNCHANGED: 3.0, MAX_AGE_S: 1.0 } as const;

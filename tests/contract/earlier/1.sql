BEGIN TRANSACTION;
CREATE TABLE annotations (
	"key" VARCHAR(80) NOT NULL, 
	id INTEGER NOT NULL, 
	task_id INTEGER NOT NULL, 
	annotator_id INTEGER, 
	answers JSON NOT NULL, 
	skipped BOOLEAN NOT NULL, 
	updated_at VARCHAR(40) NOT NULL, 
	PRIMARY KEY ("key", id)
);
CREATE TABLE llm_answers (
	content TEXT NOT NULL, 
	prompt TEXT NOT NULL, 
	model TEXT NOT NULL, 
	"key" VARCHAR(80) NOT NULL, 
	labels TEXT NOT NULL, 
	problem VARCHAR(20) NOT NULL, 
	confidence FLOAT, 
	confidence_kind VARCHAR(20) NOT NULL, 
	input_tokens INTEGER NOT NULL, 
	output_tokens INTEGER NOT NULL, 
	price_usd FLOAT NOT NULL, 
	latency_s FLOAT NOT NULL, 
	answered_at FLOAT NOT NULL, 
	PRIMARY KEY (content, prompt, model)
);
CREATE TABLE llm_bulks (
	id TEXT NOT NULL, 
	"key" VARCHAR(80) NOT NULL, 
	claims TEXT NOT NULL, 
	requests TEXT NOT NULL, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE llm_claimed (
	content TEXT NOT NULL, 
	prompt TEXT NOT NULL, 
	model TEXT NOT NULL, 
	claim_id VARCHAR(32) NOT NULL, 
	expires_at FLOAT NOT NULL, 
	PRIMARY KEY (content, prompt, model)
);
CREATE TABLE llm_claims (
	id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(80) NOT NULL, 
	prompt TEXT NOT NULL, 
	model TEXT NOT NULL, 
	reserved BIGINT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	swept BOOLEAN NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE llm_endpoint_models (
	endpoint TEXT NOT NULL, 
	model TEXT NOT NULL, 
	form VARCHAR(20) NOT NULL, 
	logprobs BOOLEAN NOT NULL, 
	dropped TEXT NOT NULL, 
	PRIMARY KEY (endpoint, model)
);
CREATE TABLE llm_endpoints (
	endpoint TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	probe_at FLOAT NOT NULL, 
	PRIMARY KEY (endpoint)
);
CREATE TABLE llm_money (
	"key" VARCHAR(80) NOT NULL, 
	spent BIGINT NOT NULL, 
	held BIGINT NOT NULL, 
	unknown BIGINT NOT NULL, 
	PRIMARY KEY ("key")
);
CREATE TABLE llm_sources (
	"key" VARCHAR(80) NOT NULL, 
	model TEXT NOT NULL, 
	prompt TEXT NOT NULL, 
	question TEXT NOT NULL, 
	examples INTEGER NOT NULL, 
	samples INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	current BOOLEAN NOT NULL, 
	trusted BOOLEAN NOT NULL, 
	calibration TEXT NOT NULL, 
	split FLOAT, 
	report TEXT NOT NULL, 
	sample TEXT NOT NULL, 
	PRIMARY KEY ("key", model, prompt, question)
);
CREATE TABLE projects (
	"key" VARCHAR(80) NOT NULL, 
	project_id INTEGER NOT NULL, 
	title TEXT NOT NULL, 
	label_config TEXT NOT NULL, 
	cursor VARCHAR(40), 
	full_sync_at FLOAT NOT NULL, 
	next_tab INTEGER, 
	check_tab INTEGER, 
	checked_at FLOAT NOT NULL, 
	PRIMARY KEY ("key")
);
CREATE TABLE suspects (
	"key" VARCHAR(80) NOT NULL, 
	task_id INTEGER NOT NULL, 
	question VARCHAR(200) NOT NULL, 
	given JSON NOT NULL, 
	expected JSON NOT NULL, 
	quality FLOAT NOT NULL, 
	status VARCHAR(12) NOT NULL, 
	seen JSON NOT NULL, 
	tagged BOOLEAN NOT NULL, 
	PRIMARY KEY ("key", task_id, question)
);
CREATE TABLE tasks (
	"key" VARCHAR(80) NOT NULL, 
	id INTEGER NOT NULL, 
	data JSON NOT NULL, 
	is_open BOOLEAN NOT NULL, 
	updated_at VARCHAR(40) NOT NULL, 
	suggested INTEGER NOT NULL, 
	PRIMARY KEY ("key", id)
);
CREATE TABLE versions (
	"key" VARCHAR(80) NOT NULL, 
	number INTEGER NOT NULL, 
	status VARCHAR(12) NOT NULL, 
	created_at FLOAT NOT NULL, 
	seen_until VARCHAR(40) NOT NULL, 
	n_labels INTEGER NOT NULL, 
	note TEXT NOT NULL, 
	rules VARCHAR(40) NOT NULL, 
	PRIMARY KEY ("key", number)
);
CREATE INDEX ix_annotations_task_id ON annotations (task_id);
CREATE INDEX ix_llm_claims_key ON llm_claims ("key");
CREATE INDEX ix_llm_claimed_expires_at ON llm_claimed (expires_at);
CREATE INDEX ix_llm_claimed_claim_id ON llm_claimed (claim_id);
CREATE INDEX ix_llm_bulks_key ON llm_bulks ("key");
COMMIT;
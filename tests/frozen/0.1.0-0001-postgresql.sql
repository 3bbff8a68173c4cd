-- agno_store 0.1.0 at revision 0001 on postgresql 18.4; see freeze.py
CREATE TABLE agent_sessions_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT agent_sessions_alembic_version_pkc PRIMARY KEY (version_num)
)
;
CREATE TABLE agent_sessions (
	session_id VARCHAR(255) COLLATE "C" NOT NULL, 
	session_type VARCHAR(255) COLLATE "C" NOT NULL, 
	agent_id VARCHAR(255) COLLATE "C", 
	team_id VARCHAR(255) COLLATE "C", 
	workflow_id VARCHAR(255) COLLATE "C", 
	user_id VARCHAR(255) COLLATE "C", 
	workflow_name TEXT, 
	name_folded TEXT, 
	session_data JSON, 
	agent_data JSON, 
	team_data JSON, 
	workflow_data JSON, 
	metadata JSON, 
	next_run_index BIGINT DEFAULT 0 NOT NULL, 
	version BIGINT DEFAULT 1 NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	CONSTRAINT pk_agent_sessions PRIMARY KEY (session_id)
)
;
CREATE INDEX ix_agent_sessions_created_at ON agent_sessions (created_at, session_id)
;
CREATE INDEX ix_agent_sessions_user_id_created_at ON agent_sessions (user_id, created_at, session_id)
;
INSERT INTO "agent_sessions" ("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id", "workflow_name", "name_folded", "session_data", "agent_data", "team_data", "workflow_data", "metadata", "next_run_index", "version", "created_at", "updated_at") VALUES ('Ada-1', 'agent', NULL, NULL, NULL, 'ADA', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1, 1600000000000000, 1700000011000011)
;
INSERT INTO "agent_sessions" ("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id", "workflow_name", "name_folded", "session_data", "agent_data", "team_data", "workflow_data", "metadata", "next_run_index", "version", "created_at", "updated_at") VALUES (E'O''Brien "50%" :id \\ ; \U0000001a0\U0000001ad83d\U0000001a\U0000001a\U0000000a日本😀 ', 'agent', '%d:x', NULL, NULL, E'ädä\U0000001ad800 %s', NULL, E'it''s "quoted" \\'' \\\\ 100% %s %(name)s %% :name ::json ? ; -- /* */ $1 {} `\U0000000a;\U0000000a\U00000009endo''brien "50%" :id \\ ; ��\U0000001a\U0000000a日本😀 ', E'{"session_name":"it''s \\"quoted\\" \\\\'' \\\\\\\\ 100% %s %(name)s %% :name ::json ? ; -- /* */ $1 {} `\\n;\\n\\tendO''Brien \\"50%\\" :id \\\\ ; \\u001a0\\u001ad83d\\u001a\\u001a\\n日本😀 ","session_state":{"nul":"a\\u001a0b","only nul":"\\u001a0","six characters that spell nul":"\\\\u0000","an escaped backslash before them":"\\\\\\\\u0000","six characters that spell a surrogate":"\\\\ud800","high surrogate":"\\u001ad83d","low surrogate":"\\u001ade00","a pair of surrogates":"\\u001ad83d\\u001ade00","surrogates the wrong way round":"\\u001ade00\\u001ad83d","surrogates beside what they would make":"\\u001ad83d\\u001ade00😀","a surrogate before hexadecimal digits":"\\u001ad83d00e9","our own escape":"\\u001a\\u001a","what our escape looks like":"\\u001a\\u001a0 \\u001a\\u001ad83d \\u001a\\u001a\\u001a\\u001a \\\\u001a0 \\\\u001a\\\\u001a","nul behind our escape":"\\u001a\\u001a\\u001a0","control characters":"\\u001a0\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001a\\u001b\\u001c\\u001d\\u001e\\u001f\U0000007f\U00000080\U0000009f","last of the plane and beyond":"\U0000ffff\U0000fffe𐀀\U0010ffff","line separators":"\\r\\n\U00002028\U00002029\U00000085","byte order mark":"\U0000fefftext","emoji":"🎉 👩\U0000200d👩\U0000200d👧\U0000200d👦 é é \U0000202e עברית","quotes":"''\\"`´\\\\/%_:;--$1{}[]","spaces":" \\t text \\n ","empty":"","our own tag":"$agno_store"}}', NULL, NULL, NULL, E'{"$agno_store":"dict","value":[["numbers",[0,-1,9007199254740993,9223372036854775808,-18446744073709551616,10000000000000000000000000000000000000007,-100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000,0.0,-0.0,0.1,0.3333333333333333,1e+16,1e+22,1e-07,123456789.12345679,5e-324,1.7976931348623157e+308,2.2250738585072014e-308]],["planes","A𐁁𠁁𰁁\U00040041\U00050041\U00060041\U00070041\U00080041\U00090041\U000a0041\U000b0041\U000c0041\U000d0041\U000e0041\U000f0041\U00100041"],["a\\u001a0b",0],["\\u001a0",0],["\\\\u0000",0],["\\\\\\\\u0000",0],["\\\\ud800",0],["\\u001ad83d",0],["\\u001ade00",0],["\\u001ad83d\\u001ade00",0],["\\u001ade00\\u001ad83d",0],["\\u001ad83d\\u001ade00😀",0],["\\u001ad83d00e9",0],["\\u001a\\u001a",0],["\\u001a\\u001a0 \\u001a\\u001ad83d \\u001a\\u001a\\u001a\\u001a \\\\u001a0 \\\\u001a\\\\u001a",0],["\\u001a\\u001a\\u001a0",0],["\\u001a0\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001a\\u001b\\u001c\\u001d\\u001e\\u001f\U0000007f\U00000080\U0000009f",0],["\U0000ffff\U0000fffe𐀀\U0010ffff",0],["\\r\\n\U00002028\U00002029\U00000085",0],["\U0000fefftext",0],["🎉 👩\U0000200d👩\U0000200d👧\U0000200d👦 é é \U0000202e עברית",0],["''\\"`´\\\\/%_:;--$1{}[]",0],[" \\t text \\n ",0],["",0],["$agno_store",0]]}', 0, 1, -1000000, 1700000028000028)
;
INSERT INTO "agent_sessions" ("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id", "workflow_name", "name_folded", "session_data", "agent_data", "team_data", "workflow_data", "metadata", "next_run_index", "version", "created_at", "updated_at") VALUES ('ada-1', 'agent', 'helper', NULL, NULL, 'ada', NULL, 'strasse 50%_', '{"session_name":"Straße 50%_","session_state":{"cart":[{"price":1.5,"count":9007199254740993}],"deep":[{"in":[{"in":[{"in":[{"in":[{"in":[{"in":[{"in":[{"in":[{"in":[{"in":"leaf"}]}]}]}]}]}]}]}]}]}],"":{"\u001a0":null}}}', '{"agent_id":"helper","model":{"id":"a/b:c","%":"%"}}', NULL, NULL, '{"quotes":"it''s \"quoted\" \\'' \\\\ 100% %s %(name)s %% :name ::json ? ; -- /* */ $1 {} `\n;\n\tend","it''s \"quoted\" \\'' \\\\ 100% %s %(name)s %% :name ::json ? ; -- /* */ $1 {} `\n;\n\tend":[true,false,null]}', 0, 1, 1600000000000000, 1700000009000009)
;
INSERT INTO "agent_sessions" ("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id", "workflow_name", "name_folded", "session_data", "agent_data", "team_data", "workflow_data", "metadata", "next_run_index", "version", "created_at", "updated_at") VALUES (E'ada-1\U0000001a0', 'agent', NULL, NULL, NULL, 'ADA', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1, 1600000000000000, 1700000015000015)
;
INSERT INTO "agent_sessions" ("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id", "workflow_name", "name_folded", "session_data", "agent_data", "team_data", "workflow_data", "metadata", "next_run_index", "version", "created_at", "updated_at") VALUES ('ada-1 ', 'agent', NULL, NULL, NULL, 'ADA', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1, 1600000000000000, 1700000013000013)
;
INSERT INTO "agent_sessions" ("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id", "workflow_name", "name_folded", "session_data", "agent_data", "team_data", "workflow_data", "metadata", "next_run_index", "version", "created_at", "updated_at") VALUES ('bob-1', 'agent', 'helper', NULL, NULL, 'bob', NULL, 'renamed école', '{"session_name":"Renamed ÉCOLE"}', NULL, NULL, NULL, NULL, 0, 2, 1700000034000034, 1700000035000035)
;
INSERT INTO "agent_sessions" ("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id", "workflow_name", "name_folded", "session_data", "agent_data", "team_data", "workflow_data", "metadata", "next_run_index", "version", "created_at", "updated_at") VALUES ('flow', 'workflow', NULL, NULL, 'w%1', E'ädä\U0000001ad800 %s', E'Every\U0000000aday \U0000001a0 at 5% \U00002028', NULL, NULL, NULL, NULL, '{"steps":[{"name":"é","n":-0.0}]}', NULL, 0, 1, 1700000023000023, 1700000025000025)
;
INSERT INTO "agent_sessions" ("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id", "workflow_name", "name_folded", "session_data", "agent_data", "team_data", "workflow_data", "metadata", "next_run_index", "version", "created_at", "updated_at") VALUES ('nobodys', 'agent', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1, 1700000031000031, 1700000033000033)
;
INSERT INTO "agent_sessions" ("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id", "workflow_name", "name_folded", "session_data", "agent_data", "team_data", "workflow_data", "metadata", "next_run_index", "version", "created_at", "updated_at") VALUES ('team', 'team', NULL, 'crew', NULL, 'bob', NULL, 'team', '{"session_name":"Team","session_state":{"members":["one","two"]}}', NULL, '{"team_id":"crew","mode":"coordinate"}', NULL, NULL, 0, 1, 1700000016000016, 1700000022000022)
;
INSERT INTO "agent_sessions" ("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id", "workflow_name", "name_folded", "session_data", "agent_data", "team_data", "workflow_data", "metadata", "next_run_index", "version", "created_at", "updated_at") VALUES ('without runs', 'agent', NULL, NULL, NULL, 'ada', NULL, NULL, '{}', NULL, NULL, NULL, '{}', 0, 1, 1700000029000029, 1700000030000030)
;
INSERT INTO "agent_sessions_alembic_version" ("version_num") VALUES ('0001')
;

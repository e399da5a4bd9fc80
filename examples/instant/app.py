from flask import Flask
from flask_oauth_accounts import oauth_bp

app = Flask(__name__)
app.config.from_prefixed_env()  # FLASK_SECRET_KEY, FLASK_GITHUB_CLIENT_ID, FLASK_GITHUB_CLIENT_SECRET
app.register_blueprint(oauth_bp)

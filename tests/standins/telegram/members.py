"""What the bot and others are in a chat: ChatMember objects, my_chat_member, refusals to write."""

from __future__ import annotations

from .model import ApiError, Chat, Json, bad_request

RIGHTS = (
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
    "can_post_messages",
    "can_edit_messages",
)
PERMISSIONS = ("can_send_messages", "can_send_documents", "can_send_photos", "can_send_polls")
# Of these changes nobody tells the bot: the account is gone, or the person was no member before.
UNTOLD = ("deactivated", "stranger", "unknown")


def bot_member(bot: Json, chat: Chat) -> Json:
    """The bot as ChatMember of a chat as it is now."""
    if chat.closed == "left":
        return {"user": dict(bot), "status": "left"}
    if chat.closed:
        return {"user": dict(bot), "status": "kicked", "until_date": 0}
    if chat.is_private:
        return {"user": dict(bot), "status": "member"}
    if not chat.can_post and chat.type != "channel":
        muted = dict.fromkeys(PERMISSIONS, False)
        return {"user": dict(bot), "status": "restricted", "is_member": True, **muted} | {
            "until_date": 0
        }
    rights = dict.fromkeys(RIGHTS, True) | {"can_post_messages": chat.can_post}
    return {
        "user": dict(bot),
        "status": "administrator",
        "can_be_edited": False,
        "is_anonymous": False,
        **rights,
    }


def check_readable(chat: Chat) -> None:
    """Refuses what even getChat and getChatMember need (Client.cpp, check_chat_access)."""
    if chat.closed == "unknown":
        raise bad_request("chat not found")
    if chat.closed == "kicked":
        raise ApiError(403, f"bot was kicked from the {chat.type} chat")
    if chat.closed == "left":
        raise ApiError(403, f"bot is not a member of the {chat.type} chat")


def check_writable(chat: Chat) -> None:
    """Refuses to write into a chat, in the words of the real server.

    The text for a person who never pressed Start is known from those who met it, not from the
    server's source (facts.md i): match its code first.
    """
    if chat.migrated_to is not None:
        raise ApiError(
            400,
            "group chat was upgraded to a supergroup chat",
            migrate_to_chat_id=chat.migrated_to,
        )
    check_readable(chat)
    if chat.closed == "blocked":
        raise ApiError(403, "bot was blocked by the user")
    if chat.closed == "deactivated":
        raise ApiError(403, "user is deactivated")
    if chat.closed == "stranger":
        raise ApiError(403, "bot can't initiate conversation with a user")
    if not chat.can_post and chat.type == "channel":
        raise bad_request("need administrator rights in the channel chat")
    if not chat.can_post:
        raise bad_request("not enough rights to send text messages to the chat")

// SPDX-License-Identifier: CC0-1.0
// A token for tests: an ERC-20 without the returned bool, as Ethereum's USDT is, and with functions
// that provoke what a payment verifier must not fall for.
pragma solidity ^0.8.20;

contract Token {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    string public symbol;
    uint8 public decimals;
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    constructor(string memory symbol_, uint8 decimals_) {
        symbol = symbol_;
        decimals = decimals_;
    }

    // Anyone may: it is play money.
    function mint(address to, uint256 amount) external {
        totalSupply += amount;
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    function transfer(address to, uint256 amount) external {
        move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        move(from, to, amount);
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
    }

    // One transaction with several Transfer logs.
    function transferMany(address[] calldata to, uint256[] calldata amounts) external {
        require(to.length == amounts.length, "lengths differ");
        for (uint256 i = 0; i < to.length; i++) {
            move(msg.sender, to[i], amounts[i]);
        }
    }

    // Address poisoning: a log in the name of somebody who has signed nothing.
    function spoof(address from, address to) external {
        emit Transfer(from, to, 0);
    }

    function transferThenRevert(address to, uint256 amount) external {
        move(msg.sender, to, amount);
        revert("on purpose");
    }

    function move(address from, address to, uint256 amount) private {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }
}
